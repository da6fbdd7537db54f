//! Protobuf wire format: reading and writing varints, fixed-width values, tags and length prefixes.

use crate::{error::ResponseError, limits::MAX_DEPTH};

/// How a value is laid out on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    StartGroup = 3,
    EndGroup = 4,
    Fixed32 = 5,
}

/// A field tag, encoded once at compile time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag {
    bytes: [u8; 5],
    len: u8,
}

impl Tag {
    pub(crate) fn new(number: u32, wire_type: WireType) -> Self {
        let mut bytes = [0; 5];
        let mut rest = (number << 3) | wire_type as u32;
        let mut len = 0;
        while rest >= 0x80 {
            bytes[len] = (rest as u8) | 0x80;
            rest >>= 7;
            len += 1;
        }
        bytes[len] = rest as u8;
        Tag {
            bytes,
            len: len as u8 + 1,
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..usize::from(self.len)]);
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_delimited(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    tag.put(out);
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Leaves one byte for a length that is not known yet, and returns where.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Fills in the length of what was written since [`open`]; content of 128 bytes and more moves up to make room.
pub(crate) fn close(out: &mut Vec<u8>, at: usize) {
    let start = at + 1;
    let length = out.len() - start;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut prefix = [0u8; 10];
    let mut rest = length as u64;
    let mut size = 0;
    while rest >= 0x80 {
        prefix[size] = (rest as u8) | 0x80;
        rest >>= 7;
        size += 1;
    }
    prefix[size] = rest as u8;
    size += 1;
    out.resize(out.len() + size - 1, 0);
    out.copy_within(start..start + length, at + size);
    out[at..at + size].copy_from_slice(&prefix[..size]);
}

/// A varint of 32 bits; unlike other numbers, a tag must not be longer than its value can need.
const MAX_TAG_BYTES: usize = 5;

pub(crate) const TRUNCATED: &str = "message ends in the middle of a field";
pub(crate) const TOO_DEEP: &str = "message is nested too deeply";

/// Reads wire bytes front to back; `rest` is what is still unread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

pub(crate) type Read<T> = Result<T, ResponseError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Reader { rest }
    }

    pub(crate) fn varint(&mut self) -> Read<u64> {
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(ResponseError::new(
            "varint is longer than ten bytes or cut off",
        ))
    }

    pub(crate) fn fixed32(&mut self) -> Read<u32> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(ResponseError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    pub(crate) fn fixed64(&mut self) -> Read<u64> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(ResponseError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    pub(crate) fn delimited(&mut self) -> Read<&'a [u8]> {
        let length = self.varint()?;
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((head, rest)) = split else {
            return Err(ResponseError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(head)
    }

    /// The next field number and wire type; `None` at the end.
    pub(crate) fn tag(&mut self) -> Read<Option<(u32, WireType)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest.len();
        let tag = self.varint()?;
        let size = before - self.rest.len();
        let Some(tag) = u32::try_from(tag).ok().filter(|_| size <= MAX_TAG_BYTES) else {
            return Err(ResponseError::new("field tag is out of range"));
        };
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Delimited,
            3 => WireType::StartGroup,
            4 => WireType::EndGroup,
            5 => WireType::Fixed32,
            _ => return Err(ResponseError::new("unknown wire type")),
        };
        match tag >> 3 {
            0 => Err(ResponseError::new("field number is zero")),
            number => Ok(Some((number, wire_type))),
        }
    }

    /// Passes over the value whose tag was just read.
    pub(crate) fn skip(&mut self, number: u32, wire_type: WireType) -> Read<()> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Delimited => self.delimited().map(drop),
            WireType::Fixed32 => self.fixed32().map(drop),
            WireType::StartGroup => self.group(number).map(drop),
            WireType::EndGroup => Err(ResponseError::new("group ends without a start")),
        }
    }

    /// The content of the group whose start tag was just read; the reader ends up behind its end tag.
    pub(crate) fn group(&mut self, number: u32) -> Read<&'a [u8]> {
        let start = self.rest;
        let mut open = [0u32; MAX_DEPTH];
        let mut depth = 0;
        open[0] = number;
        loop {
            let before = self.rest;
            match self.tag()? {
                None => return Err(ResponseError::new(TRUNCATED)),
                Some((inner, WireType::StartGroup)) => {
                    depth += 1;
                    *open.get_mut(depth).ok_or(ResponseError::new(TOO_DEEP))? = inner;
                }
                Some((end, WireType::EndGroup)) if end != open[depth] => {
                    return Err(ResponseError::new("group ends with another number"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_survive_the_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.rest.is_empty());
        }
    }

    #[test]
    fn length_prefix_grows_with_its_content() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = vec![9];
            let at = open(&mut out);
            out.extend((0..length).map(|n| n as u8));
            close(&mut out, at);
            let mut reader = Reader::new(&out[1..]);
            let content = reader.delimited().unwrap();
            assert_eq!(content.len(), length);
            assert!(content.iter().enumerate().all(|(n, byte)| *byte == n as u8));
            assert!(reader.rest.is_empty());
        }
    }

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
