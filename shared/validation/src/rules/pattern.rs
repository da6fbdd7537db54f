//! Patterns of contracts are written for RE2; this is where they become patterns of `regex`, which
//! has the same bound on time and another dialect in a few corners.

use regex::{Regex, RegexBuilder};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

use crate::limits::{MAX_PATTERN_BYTES, MAX_PATTERN_TABLE_BYTES};

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// The whole automaton, where it is small. It takes a step per byte and no scratch memory; a
    /// regex that builds its automaton as it goes must fetch that from a pool, which takes longer
    /// than most texts of requests.
    table: Option<Box<Table>>,
}

/// An automaton with all its states.
#[derive(Debug)]
struct Table {
    automaton: dense::DFA<Vec<u32>>,
    /// At the start of a text.
    start: StateID,
}

/// Compiles an RE2 pattern.
///
/// # Errors
/// A pattern that is malformed or needs more memory than [`MAX_PATTERN_BYTES`].
pub(crate) fn compile(pattern: &str) -> Result<Pattern, String> {
    let translated = translate(pattern);
    let regex = RegexBuilder::new(&translated)
        .size_limit(MAX_PATTERN_BYTES)
        .octal(true)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("pattern `{pattern}` needs more than {limit} bytes")
            }
            error => format!("pattern `{pattern}` is malformed{}", reason(&error)),
        })?;
    Ok(Pattern {
        regex,
        table: Table::new(&translated).map(Box::new),
    })
}

/// Returns the last line of an error of syntax: the ones before it draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let mut reason = text.lines().filter_map(|line| line.strip_prefix("error: "));
    reason
        .next_back()
        .map_or_else(String::new, |reason| format!(": {reason}"))
}

// === impl Pattern ===

impl Pattern {
    /// Returns whether the pattern occurs in the text, which is UTF-8.
    /// Returns whether a text has a match.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match self.table.as_ref().and_then(|table| table.is_match(text)) {
            Some(is_match) => is_match,
            None => str::from_utf8(text).is_ok_and(|text| self.regex.is_match(text)),
        }
    }
}

// === impl Table ===

impl Table {
    /// Returns the automaton of a pattern, unless it is too large: Unicode classes and long
    /// repetitions make it so.
    fn new(translated: &str) -> Option<Self> {
        let limits = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_PATTERN_TABLE_BYTES))
            .determinize_size_limit(Some(MAX_PATTERN_TABLE_BYTES));
        let automaton = dense::Builder::new()
            .configure(limits)
            .syntax(syntax::Config::new().octal(true))
            .build(translated)
            .ok()?;
        let start = automaton.start_state(&start::Config::new()).ok()?;
        Some(Table { automaton, start })
    }

    /// `None` where the automaton gives up on non-ASCII text.
    fn is_match(&self, text: &[u8]) -> Option<bool> {
        let mut state = self.start;
        for byte in text {
            state = self.automaton.next_state(state, *byte);
            if self.automaton.is_special_state(state) {
                // A start state is special too, and says nothing.
                if self.automaton.is_match_state(state) {
                    return Some(true);
                }
                if self.automaton.is_dead_state(state) {
                    return Some(false);
                }
                if self.automaton.is_quit_state(state) {
                    return None;
                }
            }
        }
        let end = self.automaton.next_eoi_state(state);
        Some(self.automaton.is_match_state(end))
    }
}

/// In RE2 the classes `\d`, `\s`, `\w` and the boundary `\b` know only ASCII, brackets don't nest
/// and have no operators, and `\Q` quotes up to `\E`.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut place = ClassPosition::Outside;
    while let Some(first) = rest.chars().next() {
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match (first, place) {
            ('\\', _) => {
                let after = escape(tail, place != ClassPosition::Outside, &mut out);
                place = place.next();
                after
            }
            ('[', ClassPosition::Outside) => {
                place = ClassPosition::Start;
                out.push('[');
                let negated = tail.strip_prefix('^');
                out.push_str(negated.map_or("", |_| "^"));
                negated.unwrap_or(tail)
            }
            (_, ClassPosition::Outside) => {
                if first == '{' && !is_repetition(tail) {
                    out.push('\\');
                }
                out.push(first);
                tail
            }
            (']', ClassPosition::Inside) => {
                place = ClassPosition::Outside;
                out.push(']');
                tail
            }
            _ => {
                let after = member(first, tail, place, &mut out);
                place = ClassPosition::Inside;
                after
            }
        };
    }
    out
}

/// Returns whether `{` repeats what stands before it; RE2 takes any other one literally.
fn is_repetition(tail: &str) -> bool {
    let is_count = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    tail.split_once('}').is_some_and(|(inside, _)| {
        let (min, max) = inside.split_once(',').unwrap_or((inside, ""));
        !min.is_empty() && is_count(min) && is_count(max)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClassPosition {
    Outside,
    /// Directly after the opening bracket of a class, where a closing one is a member.
    Start,
    Inside,
}

impl ClassPosition {
    fn next(self) -> ClassPosition {
        match self {
            ClassPosition::Outside => ClassPosition::Outside,
            ClassPosition::Start | ClassPosition::Inside => ClassPosition::Inside,
        }
    }
}

/// Translates a member of a class, and returns what follows it.
fn member<'a>(first: char, tail: &'a str, place: ClassPosition, out: &mut String) -> &'a str {
    let named = tail
        .strip_prefix(':')
        .and_then(|name| name.split_once(":]"));
    match first {
        '[' if named.is_some() => {
            let (name, after) = named.unwrap_or_default();
            out.push_str(&format!("[:{name}:]"));
            return after;
        }
        '[' | ']' | '&' | '~' => {
            out.push('\\');
            out.push(first);
        }
        // The end of a range.
        '-' if place == ClassPosition::Inside && tail.starts_with('-') => {
            out.push_str("-\\-");
            return tail.get(1..).unwrap_or_default();
        }
        '-' if place == ClassPosition::Start => out.push_str("\\-"),
        other => out.push(other),
    }
    tail
}

/// Translates what follows a backslash, and returns what follows that.
fn escape<'a>(tail: &'a str, is_class: bool, out: &mut String) -> &'a str {
    let Some(escaped) = tail.chars().next() else {
        out.push('\\');
        return tail;
    };
    let behind = tail.get(escaped.len_utf8()..).unwrap_or_default();
    match (escaped, is_class) {
        ('d', _) => out.push_str("[0-9]"),
        ('D', _) => out.push_str("[^0-9]"),
        ('w', _) => out.push_str("[0-9A-Za-z_]"),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('s', _) => out.push_str("[\\t\\n\\f\\r ]"),
        ('S', _) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('b', false) => out.push_str("(?-u:\\b)"),
        ('B', false) => out.push_str("(?-u:\\B)"),
        // RE2 has octal numbers of two digits and more; a digit alone would refer back, which
        // neither can do.
        ('1'..='7', _) if !behind.starts_with(|next| matches!(next, '0'..='7')) => {
            out.push_str("\\8");
        }
        ('Q', _) => {
            let (quoted, after) = behind.split_once("\\E").unwrap_or((behind, ""));
            out.push_str(&regex::escape(quoted));
            return after;
        }
        // A name or a number in braces.
        ('p' | 'P' | 'x', _) if behind.starts_with('{') && behind.contains('}') => {
            let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
            out.push_str(&format!("\\{escaped}{name}}}"));
            return after;
        }
        _ => {
            out.push('\\');
            out.push(escaped);
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, is_match: bool) {
        let compiled = compile(pattern).unwrap();
        let found = compiled.is_match(text.as_bytes());
        assert_eq!(found, is_match, "{pattern} on {text}");
        assert_eq!(compiled.regex.is_match(text), is_match, "{pattern}");
    }

    #[test]
    fn classes_know_only_ascii() {
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "١٢", false);
        check(r"^\D$", "١", true);
        check(r"^\w+$", "aé", false);
        check(r"^[\w-]+$", "a-b_9", true);
        check(r"^[^\W]+$", "é", false);
        check(r"^\s$", "\u{a0}", false);
        check(r"^\S$", "\u{a0}", true);
        check(r"a\b", "aé", true);
        check(r"^a\Bb", "ab", true);
    }

    #[test]
    fn brackets_neither_nest_nor_compute() {
        check("^[[]$", "[", true);
        check("^[a[b]$", "[", true);
        check("^[]a]+$", "]a", true);
        check("^[^]a]$", "]", false);
        check("^[a&&b]+$", "&a", true);
        check("^[[:alpha:]&]+$", "z&", true);
        check("^[a~~b]$", "~", true);
        check("^[+--]+$", "+,-", true);
        check("^[--/]+$", "-./", true);
    }

    #[test]
    fn braces_repeat_or_are_themselves() {
        check("^a{2}b{1,}c{0,1}$", "aabb", true);
        check("^{id}$", "{id}", true);
        check("^a{,2}$", "a{,2}", true);
        check(r"^\p{Greek}{2}$", "αβ", true);
        check(r"^[\p{Greek}\x{41}]+$", "αA", true);
        check(r"^\{\}$", "{}", true);
    }

    #[test]
    fn quotes_are_taken_literally() {
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\Qa.b", "a.b", true);
        check(r"^\101\x42$", "AB", true);
    }

    #[test]
    fn what_is_malformed_or_too_large_is_refused() {
        for pattern in [
            "(",
            "[",
            r"\",
            "a**b{2,1}",
            r"(a)\1",
            "((a{1000}){1000}){1000}",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
