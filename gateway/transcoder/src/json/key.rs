//! Texts that are known when a schema is compiled, laid out to be copied and compared in one step.

use super::scan;
use crate::wire::CHUNK;

const SHORT: usize = CHUNK;

/// A text of any length that is mostly short.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    short: [u8; SHORT],
    pub(crate) len: usize,
    /// All of it, where it is not short.
    long: Box<[u8]>,
}

/// The key of a member, as it stands in an object.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// `,"name":`
    member: Literal,
    /// `"name":`
    first: Literal,
}

// === impl Literal ===

impl Literal {
    pub(crate) fn new(text: &[u8]) -> Self {
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

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if self.len <= SHORT {
            // A copy of fixed size, and the surplus taken back.
            let end = out.len() + self.len;
            out.extend_from_slice(&self.short);
            out.truncate(end);
        } else {
            out.extend_from_slice(&self.long);
        }
    }

    /// Whether it is this name in quotes, in any case.
    pub(crate) fn is_quoted(&self, name: &str) -> bool {
        matches!(self.as_bytes(), [b'"', own @ .., b'"'] if own.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Whether `text` begins with it.
    #[inline]
    pub(crate) fn starts(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(chunk) if self.len <= SHORT => {
                let differing = !scan::equal(chunk, &self.short);
                differing & scan::first_bits(self.len) == 0
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
    pub(crate) fn new(name: &str) -> Self {
        let mut text = vec![b','];
        super::put_string(name, &mut text);
        text.push(b':');
        Key {
            member: Literal::new(&text),
            first: Literal::new(text.get(1..).unwrap_or_default()),
        }
    }

    /// Appends a comma, the quoted name and a colon.
    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.member.put(out);
    }

    /// Comma, quoted name and colon.
    #[inline]
    pub(crate) fn member(&self) -> &Literal {
        &self.member
    }

    /// Quoted name and colon.
    #[inline]
    pub(crate) fn first(&self) -> &Literal {
        &self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
