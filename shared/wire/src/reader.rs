//! Reading wire bytes: varints, fixed-width values, length-delimited values, groups and tags.

use crate::error::WireError;
use crate::put::WireType;
use crate::{MAX_DEPTH, chunk};

/// A varint of 32 bits; unlike other numbers, a tag must not be longer than its value can need.
const MAX_TAG_BYTES: usize = 5;

/// Text of the error about bytes that end too early.
pub const TRUNCATED: &str = "message ends in the middle of a field";
/// Text of the error about more than [`MAX_DEPTH`] levels.
pub const TOO_DEEP: &str = "message is nested too deeply";

/// Reads wire bytes from front to back.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The bytes that are still unread.
    pub rest: &'a [u8],
}

/// The error is boxed, so that values return in registers.
pub type Read<T> = Result<T, Box<WireError>>;

impl<'a> Reader<'a> {
    /// Returns a reader of all of `rest`.
    pub fn new(rest: &'a [u8]) -> Self {
        Reader { rest }
    }

    /// Reads a varint of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Read<u64> {
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    /// Up to eight bytes at once: groups of 7 bits move down into lanes of 14, 28 and then 56.
    fn long_varint(&mut self) -> Read<u64> {
        let word = match self.rest.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => chunk::short_word(self.rest),
        };
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return self.any_varint();
        }
        // All bits below the end's high bit; the byte of the end has no such bit.
        let word = word & (ends ^ (ends - 1));
        let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
        let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
        let word = (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4;
        let length = ends.trailing_zeros() as usize / 8 + 1;
        match self.rest.get(length..) {
            Some(rest) => self.rest = rest,
            None => return Err(not_varint()),
        }
        Ok(word)
    }

    fn any_varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(not_varint())
    }

    /// Reads four bytes, little-endian.
    #[inline]
    pub fn fixed32(&mut self) -> Read<u32> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(WireError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// Reads eight bytes, little-endian.
    #[inline]
    pub fn fixed64(&mut self) -> Read<u64> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(WireError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// Reads a length and returns as many bytes.
    #[inline]
    pub fn delimited(&mut self) -> Read<&'a [u8]> {
        let length = self.varint()?;
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((head, rest)) = split else {
            return Err(WireError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(head)
    }

    /// As [`Reader::delimited`], for one that copies in large steps: the content, all that follows
    /// it, and the content's length.
    #[inline]
    pub fn delimited_and_more(&mut self) -> Read<(&'a [u8], usize)> {
        let length = self.varint()?;
        let content = self.rest;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match content.get(length..) {
            Some(rest) => self.rest = rest,
            None => return Err(WireError::new(TRUNCATED)),
        }
        Ok((content, length))
    }

    /// Returns the next field number and wire type; `None` at the end.
    #[inline]
    pub fn tag(&mut self) -> Read<Option<(u32, WireType)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest.len();
        let tag = self.varint()?;
        let size = before - self.rest.len();
        let Some(tag) = u32::try_from(tag).ok().filter(|_| size <= MAX_TAG_BYTES) else {
            return Err(WireError::new("field tag is out of range"));
        };
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(WireError::new("unknown wire type")),
        };
        match tag >> 3 {
            0 => Err(WireError::new("field number is zero")),
            number => Ok(Some((number, wire_type))),
        }
    }

    /// Passes over the value whose tag was just read.
    pub fn skip(&mut self, number: u32, wire_type: WireType) -> Read<()> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Delimited => self.delimited().map(drop),
            WireType::Fixed32 => self.fixed32().map(drop),
            WireType::StartGroup => self.group(number).map(drop),
            WireType::EndGroup => Err(WireError::new("group ends without a start")),
        }
    }

    /// Returns the bytes of the value whose tag was just read: content without a length prefix or
    /// an end tag, a number as it stands.
    pub fn value(&mut self, number: u32, wire_type: WireType) -> Read<&'a [u8]> {
        match wire_type {
            WireType::Delimited => self.delimited(),
            WireType::StartGroup => self.group(number),
            _ => {
                let before = self.rest;
                self.skip(number, wire_type)?;
                let length = before.len() - self.rest.len();
                Ok(before.get(..length).unwrap_or_default())
            }
        }
    }

    /// Returns the content of the group whose start tag was just read, and moves past its end tag.
    pub fn group(&mut self, number: u32) -> Read<&'a [u8]> {
        let start = self.rest;
        let mut open = [0u32; MAX_DEPTH];
        let mut depth = 0;
        open[0] = number;
        loop {
            let before = self.rest;
            match self.tag()? {
                None => return Err(WireError::new(TRUNCATED)),
                Some((inner, WireType::StartGroup)) => {
                    depth += 1;
                    *open
                        .get_mut(depth)
                        .ok_or_else(|| WireError::new(TOO_DEEP))? = inner;
                }
                Some((end, WireType::EndGroup)) if end != open[depth] => {
                    return Err(WireError::new("group ends with another number"));
                }
                Some((_, WireType::EndGroup)) if depth == 0 => {
                    return Ok(&start[..start.len() - before.len()]);
                }
                Some((_, WireType::EndGroup)) => depth -= 1,
                Some((inner, wire_type)) => self.skip(inner, wire_type)?,
            }
        }
    }
}

#[cold]
fn not_varint() -> Box<WireError> {
    WireError::new("varint is truncated or longer than ten bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_bytes_are_errors() {
        let cases: [&[u8]; 8] = [
            &[0x88, 0x80, 0x80, 0x80, 0x80, 0x00, 1],
            &[0x80],
            &[
                0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ],
            &[0x0a, 0x05, 1],
            &[0x0d, 1, 2],
            &[0x09, 1, 2],
            &[0x0b, 0x14],
            &[0x0f],
        ];
        for bytes in cases {
            let mut reader = Reader::new(bytes);
            let outcome = match reader.tag() {
                Ok(Some((number, wire_type))) => reader.skip(number, wire_type),
                other => other.map(drop),
            };
            assert!(outcome.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn groups_nest() {
        let mut reader = Reader::new(&[0x13, 0x08, 1, 0x14, 0x0c, 0x7f]);
        assert_eq!(reader.group(1), Ok(&[0x13, 0x08, 1, 0x14][..]));
        assert_eq!(reader.rest, [0x7f]);
    }
}
