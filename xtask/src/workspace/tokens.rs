//! Splits Rust source into tokens: enough of the language to find paths and declarations, and no parser.
//!
//! Comments are dropped, and literals are kept without their content, so that neither is mistaken for code.

/// A token and the line it begins in, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) line: usize,
}

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// An identifier or keyword.
    Ident(&'a str),
    /// `::`.
    Colons,
    /// Any other character that is not white space.
    Punct(u8),
    /// A string, character, number or lifetime.
    Literal,
}

impl<'a> Token<'a> {
    /// Returns the identifier.
    pub(crate) fn ident(self) -> Option<&'a str> {
        match self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether this is that character.
    pub(crate) fn is(self, punct: u8) -> bool {
        self.kind == Kind::Punct(punct)
    }
}

/// Returns all tokens of a source text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
    };
    std::iter::from_fn(|| lexer.next()).collect()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = *self.rest().first()?;
        let line = self.line;
        let kind = match first {
            b'"' => self.string(1),
            b'\'' => self.quote(),
            b'0'..=b'9' => self.number(),
            _ if is_ident(first) => self.word(),
            b':' if self.rest().starts_with(b"::") => {
                self.skip(2);
                Kind::Colons
            }
            _ => {
                self.skip(1);
                Kind::Punct(first)
            }
        };
        Some(Token { kind, line })
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        let skipped = &self.text.as_bytes()[self.at..end];
        self.line += skipped.iter().filter(|byte| **byte == b'\n').count();
        self.at = end;
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.rest();
        let length = rest.iter().position(|byte| !wanted(*byte));
        self.skip(length.unwrap_or(rest.len()));
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace());
            let rest = self.rest();
            if rest.starts_with(b"//") {
                self.skip_while(|byte| byte != b'\n');
            } else if rest.starts_with(b"/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            if rest.starts_with(b"/*") {
                depth += 1;
                self.skip(2);
            } else if rest.starts_with(b"*/") {
                depth -= 1;
                self.skip(2);
            } else {
                self.skip(1);
            }
            if depth == 0 || self.rest().is_empty() {
                return;
            }
        }
    }

    /// A string whose opening quote ends `opening` bytes from here.
    fn string(&mut self, opening: usize) -> Kind<'a> {
        self.skip(opening);
        loop {
            self.skip_while(|byte| byte != b'"' && byte != b'\\');
            match self.rest().first() {
                Some(b'\\') => self.skip(2),
                _ => break,
            }
        }
        self.skip(1);
        Kind::Literal
    }

    /// A raw string, whose `#`s and opening quote are next.
    fn raw_string(&mut self) -> Kind<'a> {
        let hashes = self.rest().iter().take_while(|byte| **byte == b'#').count();
        self.skip(hashes + 1);
        let close = format!("\"{}", "#".repeat(hashes));
        let length = self.text[self.at..].find(&close);
        self.skip(length.map_or(usize::MAX / 2, |length| length + close.len()));
        Kind::Literal
    }

    /// A character or a lifetime.
    fn quote(&mut self) -> Kind<'a> {
        let mut chars = self.text[self.at + 1..].chars();
        match (chars.next(), chars.next()) {
            (Some('\\'), _) => {
                self.skip(3);
                self.skip_while(|byte| byte != b'\'');
                self.skip(1);
            }
            (Some(inner), Some('\'')) => self.skip(2 + inner.len_utf8()),
            _ => {
                self.skip(1);
                self.skip_while(is_ident);
            }
        }
        Kind::Literal
    }

    fn number(&mut self) -> Kind<'a> {
        self.skip_while(is_ident);
        let rest = self.rest();
        if rest.first() == Some(&b'.') && rest.get(1).is_some_and(u8::is_ascii_digit) {
            self.skip(1);
            self.skip_while(is_ident);
        }
        Kind::Literal
    }

    fn word(&mut self) -> Kind<'a> {
        let start = self.at;
        self.skip_while(is_ident);
        let word = &self.text[start..self.at];
        match (word, self.rest()) {
            ("r" | "br" | "cr", [b'"', ..] | [b'#', b'"' | b'#', ..]) => self.raw_string(),
            ("b" | "c", [b'"', ..]) => self.string(1),
            ("b", [b'\'', ..]) => self.quote(),
            ("r", [b'#', ..]) => {
                self.skip(1);
                self.word()
            }
            _ => Kind::Ident(word),
        }
    }
}

fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(text: &str) -> Vec<&str> {
        tokens(text).into_iter().filter_map(Token::ident).collect()
    }

    #[test]
    fn comments_and_literals_hold_no_code() {
        let text = r##"
            a // crate::x
            /* crate::y /* nested */ crate::z */ b
            "crate::\"s" c r#"crate::"r" "# d b"crate" '"' e '\'' f b'x' g 'static h '☺' i 1.5e3 j 0..k
        "##;
        assert_eq!(
            idents(text),
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]
        );
    }

    #[test]
    fn tokens_know_their_lines() {
        let text = "a\n/* \n */ b \"\n\" ::\n c";
        let lines: Vec<usize> = tokens(text).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 3, 4, 5]);
        assert_eq!(tokens(text)[3].kind, Kind::Colons);
    }

    #[test]
    fn raw_identifiers_are_identifiers() {
        assert_eq!(idents("r#type::r#fn"), ["type", "fn"]);
    }
}
