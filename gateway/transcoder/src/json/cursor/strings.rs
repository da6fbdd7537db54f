//! Strings, with and without escapes.

use std::borrow::Cow;

use wire::{put_prefix, put_varint};

use super::Cursor;
use crate::error::Failure;
use crate::json::scan;

impl<'a> Cursor<'a> {
    /// Returns a string; borrowed from the text unless it has escapes.
    ///
    /// # Errors
    /// The string is malformed, or the text ends in it.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>, Failure> {
        match self.plain_string()? {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.escaped_string().map(Cow::Owned),
        }
    }

    #[cold]
    fn escaped_string(&mut self) -> Result<String, Failure> {
        let mut decoded = Vec::new();
        self.string_into(&mut decoded)?;
        String::from_utf8(decoded).map_err(|_| self.error("malformed string"))
    }

    /// Returns a string without escapes; `None`, with nothing read, if there are some.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'a str>, Failure> {
        let start = self.position + 1;
        let length = self.plain_extent()?;
        if let Some(length) = length {
            self.position = start + length + 1;
            Ok(Some(self.slice(start, start + length)))
        } else {
            Ok(None)
        }
    }

    /// Appends the length and the content of a string without escapes, and returns the length;
    /// `None`, with nothing read, if there are some.
    #[inline]
    pub(crate) fn put_plain_string(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
        let Some(length) = self.plain_extent()? else {
            return Ok(None);
        };
        put_varint(out, length as u64);
        self.position += 1;
        put_prefix(out, self.rest(), length);
        self.position += length + 1;
        Ok(Some(length))
    }

    /// Returns the length of the next string, if it has no escapes.
    #[inline]
    fn plain_extent(&mut self) -> Result<Option<usize>, Failure> {
        let Some((b'"', rest)) = self.rest().split_first() else {
            return self.far_plain_extent();
        };
        let length = scan::plain_length(rest);
        match rest.get(length) {
            Some(b'"') => Ok(Some(length)),
            Some(b'\\') => Ok(None),
            _ => Err(self.bad_string(self.position + 1 + length)),
        }
    }

    #[cold]
    fn far_plain_extent(&mut self) -> Result<Option<usize>, Failure> {
        match self.next_behind_space() {
            Some(b'"') => self.plain_extent(),
            _ => Err(self.expected("a string")),
        }
    }

    #[cold]
    fn bad_string(&mut self, at: usize) -> Failure {
        self.position = at;
        self.error(match self.byte() {
            Some(_) => "control character in a string",
            None => "the body ends inside a string",
        })
    }

    /// Appends the decoded content of a string.
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.expect(b'"', "a string")?;
        loop {
            let rest = self.rest();
            let length = scan::plain_length(rest);
            put_prefix(out, rest, length);
            match rest.get(length) {
                Some(b'"') => {
                    self.position += length + 1;
                    return Ok(());
                }
                Some(b'\\') => self.position += length + 1,
                _ => return Err(self.bad_string(self.position + length)),
            }
            let mut buffer = [0; 4];
            out.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
        }
    }

    fn escape(&mut self) -> Result<char, Failure> {
        let byte = self.byte();
        self.position += 1;
        match byte {
            Some(plain @ (b'"' | b'\\' | b'/')) => Ok(char::from(plain)),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode(),
            _ => {
                self.position -= 1;
                Err(self.error("unknown escape in a string"))
            }
        }
    }

    fn unicode(&mut self) -> Result<char, Failure> {
        let high = self.hex4()?;
        let is_pair = (0xd800..0xdc00).contains(&high)
            && self.slice(self.position, self.position + 2) == "\\u";
        let code = if is_pair {
            self.position += 2;
            match self.hex4()? {
                low @ 0xdc00..=0xdfff => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                _ => high,
            }
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.error("lone surrogate in a string"))
    }

    fn hex4(&mut self) -> Result<u32, Failure> {
        let digits = self.slice(self.position, self.position + 4);
        // The parser alone would take a sign.
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        let code = code.ok_or_else(|| self.error("malformed \\u escape"))?;
        self.position += 4;
        Ok(code)
    }

    pub(super) fn skip_string(&mut self) -> Result<(), Failure> {
        self.expect(b'"', "a string")?;
        loop {
            let rest = self.rest();
            let length = scan::plain_length(rest);
            match rest.get(length) {
                Some(b'"') => {
                    self.position += length + 1;
                    return Ok(());
                }
                Some(b'\\') => self.position += length + 1,
                _ => return Err(self.bad_string(self.position + length)),
            }
            self.escape()?;
        }
    }
}
