//! From the patterns of contracts, which are RE2, to those of JSON Schema, which are ECMA-262 with
//! the flag `u`.
//!
//! Only constructs with one meaning in both are translated; anything else gives `None`, and the
//! document keeps it as text.

/// White space of RE2; ECMA-262 has more.
const SPACE: &str = "\\t\\n\\f\\r ";

/// Translates a pattern that is known to be RE2.
pub(crate) fn portable(pattern: &str) -> Option<String> {
    let mut translator = PatternTranslator {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
    };
    while let Some(next) = translator.next() {
        translator.outside(next)?;
    }
    Some(translator.out)
}

/// Returns a pattern for this very text.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| put_literal(c, &mut out));
    out
}

struct PatternTranslator<'a> {
    rest: &'a str,
    out: String,
}

fn put_literal(c: char, out: &mut String) {
    if "^$\\.*+?()[]{}|/".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

impl PatternTranslator<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.skip(next.len_utf8());
        Some(next)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn outside(&mut self, next: char) -> Option<()> {
        match next {
            '\\' => return self.escape(false),
            '[' => return self.class(),
            '(' => return self.group(),
            // RE2's dot leaves out one character, ECMA's four.
            '.' => self.out.push_str("[^\\n]"),
            '{' if self.is_repetition() => self.out.push('{'),
            '}' if self.out_is_repetition() => self.out.push('}'),
            '{' | '}' | ']' | '/' => put_literal(next, &mut self.out),
            other => self.out.push(other),
        }
        Some(())
    }

    /// Returns whether a brace opens `{2}`, `{2,}` or `{2,5}`.
    fn is_repetition(&self) -> bool {
        let inside = self.rest.split_once('}').map(|(inside, _)| inside);
        inside.is_some_and(is_counts)
    }

    fn out_is_repetition(&self) -> bool {
        let inside = self.out.rsplit_once('{').map(|(_, inside)| inside);
        inside.is_some_and(is_counts)
    }

    fn group(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix("?:") {
            self.rest = rest;
            self.out.push_str("(?:");
            return Some(());
        }
        let named = self.rest.strip_prefix("?P<");
        let named = named.or(self.rest.strip_prefix("?<"));
        if let Some(named) = named {
            // Names of groups are dropped, as nothing refers to them.
            self.rest = named.split_once('>')?.1;
        } else if self.rest.starts_with('?') {
            return None;
        }
        self.out.push('(');
        Some(())
    }

    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            match self.next()? {
                ']' if !is_first => break,
                '\\' => self.escape(true)?,
                '[' if self.rest.starts_with(':') => self.named_class()?,
                c @ ('[' | ']' | '^') => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                c => self.out.push(c),
            }
            is_first = false;
        }
        self.out.push(']');
        Some(())
    }

    fn named_class(&mut self) -> Option<()> {
        let (name, rest) = self.rest.strip_prefix(':')?.split_once(":]")?;
        self.rest = rest;
        self.out.push_str(match name {
            "alnum" => "0-9A-Za-z",
            "alpha" => "A-Za-z",
            "digit" => "0-9",
            "lower" => "a-z",
            "upper" => "A-Z",
            "word" => "0-9A-Za-z_",
            "xdigit" => "0-9A-Fa-f",
            _ => return None,
        });
        Some(())
    }

    fn escape(&mut self, is_class: bool) -> Option<()> {
        let escaped = self.next()?;
        match (escaped, is_class) {
            ('d' | 'D' | 'w' | 'W' | 'n' | 'r' | 't' | 'f' | 'v', _) | ('b' | 'B', false) => {
                self.out.push('\\');
                self.out.push(escaped);
            }
            ('s', true) => self.out.push_str(SPACE),
            ('s', false) => self.out.push_str(&format!("[{SPACE}]")),
            ('S', false) => self.out.push_str(&format!("[^{SPACE}]")),
            ('A', false) => self.out.push('^'),
            ('z', false) => self.out.push('$'),
            ('x', _) => return self.hexadecimal(),
            ('-', true) => self.out.push_str("\\-"),
            (other, _) if other.is_ascii_punctuation() => put_literal(other, &mut self.out),
            _ => return None,
        }
        Some(())
    }

    /// `\x41`; the form with braces has no counterpart that all tools know.
    fn hexadecimal(&mut self) -> Option<()> {
        let digits = self.rest.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.out.push_str("\\x");
        self.out.push_str(digits);
        self.skip(2);
        Some(())
    }
}

fn is_counts(text: &str) -> bool {
    let mut counts = text.split(',');
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    counts
        .next()
        .is_some_and(|least| !least.is_empty() && is_number(least))
        && counts.next().is_none_or(is_number)
        && counts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_translated() {
        let cases = [
            ("^[A-Z]{3}$", "^[A-Z]{3}$"),
            (r"^\d+\.\d{2,}$", r"^\d+\.\d{2,}$"),
            (r"\A.+\z", r"^[^\n]+$"),
            (r"^[\w\-/]+\@[^]x]$", r"^[\w\-/]+@[^\]x]$"),
            ("^(?P<year>[[:digit:]]+)(?:a|b)$", "^([0-9]+)(?:a|b)$"),
            (r"^\s[\s]a{b}$", r"^[\t\n\f\r ][\t\n\f\r ]a\{b\}$"),
            (r"\x41", r"\x41"),
        ];
        for (re2, expected) in cases {
            assert_eq!(portable(re2).as_deref(), Some(expected), "{re2}");
        }
    }

    #[test]
    fn what_has_no_counterpart_is_none() {
        for re2 in [
            "(?i)a",
            r"\pL",
            r"\Qa\E",
            r"\x{1F600}",
            "[[:punct:]]",
            r"\101",
            r"\C",
        ] {
            assert_eq!(portable(re2), None, "{re2}");
        }
    }

    #[test]
    fn a_quoted_text_matches_itself() {
        assert_eq!(quoted("a.b/[c]"), r"a\.b\/\[c\]");
    }
}
