//! Texts that are known when a schema is compiled, laid out to be copied and compared in one step.

use wire::{CHUNK, equal, first_bits};

const SHORT: usize = CHUNK;

/// A text of any length that is mostly short.
#[derive(Debug, Clone)]
pub struct Literal {
    short: [u8; SHORT],
    /// Length in bytes.
    pub len: usize,
    /// All of it, where it is not short.
    long: Box<[u8]>,
}

/// The key of a member, as it stands in an object.
#[derive(Debug, Clone)]
pub struct Key {
    /// `,"name":`
    member: Literal,
    /// `"name":`
    first: Literal,
}

// === impl Literal ===

impl Literal {
    /// Copies a text.
    pub fn new(text: &[u8]) -> Self {
        let mut short = [0; SHORT];
        let long = match short.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                Box::default()
            }
            None => text.into(),
        };
        Literal {
            short,
            len: text.len(),
            long,
        }
    }

    /// Appends the text.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        if self.len <= SHORT {
            // A copy of fixed size, and the surplus taken back.
            let end = out.len() + self.len;
            out.extend_from_slice(&self.short);
            out.truncate(end);
        } else {
            out.extend_from_slice(&self.long);
        }
    }

    /// Returns whether it is this name in quotes, in any case.
    pub fn is_quoted(&self, name: &str) -> bool {
        matches!(self.as_bytes(), [b'"', own @ .., b'"'] if own.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Returns whether `text` begins with it.
    #[inline]
    pub fn starts(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(chunk) if self.len <= SHORT => {
                let differing = !equal(chunk, &self.short);
                differing & first_bits(self.len) == 0
            }
            _ => text.starts_with(self.as_bytes()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.short.get(..self.len).unwrap_or(&self.long)
    }
}

// === impl Key ===

impl Key {
    /// Quotes a name.
    pub fn new(name: &str) -> Self {
        let text = format!(",{}:", quoted(name)).into_bytes();
        Key {
            member: Literal::new(&text),
            first: Literal::new(text.get(1..).unwrap_or_default()),
        }
    }

    /// Appends a comma, the quoted name and a colon.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        self.member.put(out);
    }

    /// Comma, quoted name and colon.
    #[inline]
    pub fn member(&self) -> &Literal {
        &self.member
    }

    /// Quoted name and colon.
    #[inline]
    pub fn first(&self) -> &Literal {
        &self.first
    }
}

/// Returns a JSON string that denotes `text` (RFC 8259 section 7).
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\0'..' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_quoted_as_json_wants_it() {
        let text: String = (0..0x180).filter_map(char::from_u32).collect();
        assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
    }

    #[test]
    fn keys_of_every_length_are_written_and_recognized() {
        for length in 0..50 {
            let name = "k".repeat(length);
            let key = Key::new(&name);
            let mut out = Vec::new();
            key.put(&mut out);
            assert_eq!(out, format!(",\"{name}\":").as_bytes());
            for tail in ["1", "1,\"another\":\"so that many bytes follow\""] {
                let text = format!(",\"{name}\":{tail}");
                assert!(key.member().starts(text.as_bytes()));
                assert!(key.first().starts(&text.as_bytes()[1..]));
                assert_eq!(
                    (key.member().len, key.first().len),
                    (length + 4, length + 3)
                );
                for other in [format!(",\"{name}k\":{tail}"), format!(",\"{name}\"")] {
                    assert!(!key.member().starts(other.as_bytes()), "{other}");
                    assert!(!key.first().starts(&other.as_bytes()[1..]), "{other}");
                }
            }
        }
    }
}
