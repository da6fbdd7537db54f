//! Texts that match a pattern, for examples.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Repetition};

/// Characters that examples prefer, in this order.
const LIKED: [&str; 3] = [
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "1234567890",
];

/// How often an unbounded part is repeated, one text for each; the first is the nicest to read.
const REPEATS: [u32; 22] = [
    6, 1, 2, 3, 4, 5, 8, 10, 12, 16, 20, 24, 26, 28, 32, 36, 40, 48, 64, 100, 128, 255,
];

/// The longest text; longer ones are cut and then match nothing.
const MAX_BYTES: usize = 1024;

/// Writes one text.
struct Writer {
    repeats: u32,
    /// The branch of a choice that is taken, where there are so many.
    branch: usize,
    out: String,
}

/// Returns texts that likely match a pattern of RE2; whoever uses one has it checked. None for a
/// pattern that can't be read.
pub(crate) fn matching(pattern: &str) -> Vec<String> {
    let Ok(hir) = ParserBuilder::new().octal(true).build().parse(pattern) else {
        return Vec::new();
    };
    let written = REPEATS.iter().enumerate().map(|(branch, repeats)| {
        let mut writer = Writer {
            repeats: *repeats,
            branch,
            out: String::new(),
        };
        writer.put(&hir);
        writer.out
    });
    written.collect()
}

// === impl Writer ===

impl Writer {
    fn put(&mut self, hir: &Hir) {
        if self.out.len() > MAX_BYTES {
            return;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.out.push_str(&String::from_utf8_lossy(&literal.0)),
            HirKind::Class(Class::Unicode(class)) => self.character(class),
            HirKind::Class(Class::Bytes(class)) => {
                if let Some(class) = class.to_unicode_class() {
                    self.character(&class);
                }
            }
            HirKind::Repetition(repetition) => self.repeat(repetition),
            HirKind::Capture(capture) => self.put(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.put(part)),
            HirKind::Alternation(choices) => {
                if let Some(choice) = choices.get(self.branch % choices.len().max(1)) {
                    self.put(choice);
                }
            }
        }
    }

    fn repeat(&mut self, repetition: &Repetition) {
        let most = repetition.max.unwrap_or(u32::MAX);
        let times = self.repeats.clamp(repetition.min, most);
        for _ in 0..times {
            if self.out.len() > MAX_BYTES {
                return;
            }
            self.put(&repetition.sub);
        }
    }

    /// Appends a character of a class: letters that go on like the alphabet, where it has some.
    fn character(&mut self, class: &ClassUnicode) {
        let ranges = class.ranges();
        let has = |c: char| {
            ranges
                .iter()
                .any(|range| range.start() <= c && c <= range.end())
        };
        let at = self.out.len();
        for liked in LIKED {
            let known: Vec<char> = liked.chars().filter(|c| has(*c)).collect();
            if let Some(found) = known.get(at % known.len().max(1)) {
                return self.out.push(*found);
            }
        }
        self.out.extend(ranges.first().map(|range| range.start()));
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_text_matches_its_pattern() {
        for pattern in [
            "^[a-z]+$",
            "^[A-Z]{3}$",
            "^[0-9]{4}-[0-9]{2}$",
            "^shelves/[^/]+/books/[^/]+$",
            "^(?:C?[0-9]{6}|draft)$",
            "^[\\w.-]+@[\\w.-]+\\.[a-z]{2,}$",
            "^\\d{1,3}(?:\\.\\d{1,3}){3}$",
            "^[0-9A-Fa-f]{32}$",
            "(?i)^ok$",
            "^\\p{L}+$",
            "",
        ] {
            let regex = Regex::new(pattern).unwrap();
            let texts = matching(pattern);
            assert!(regex.is_match(&texts[0]), "{pattern}: {:?}", texts[0]);
        }
        assert_eq!(matching("^[a-z]+-[0-9]{3}$")[0], "abcdef-890");
    }

    #[test]
    fn other_texts_have_other_lengths_and_branches() {
        let texts = matching("^(?:a+|b+)$");
        assert!(texts.contains(&"a".repeat(32)), "{texts:?}");
        assert!(texts.iter().any(|text| text.starts_with('b')));
        assert!(
            matching("^(?:[a-z]{500}){500}$")
                .iter()
                .all(|text| text.len() < 2000)
        );
        assert_eq!(matching("("), Vec::<String>::new());
    }
}
