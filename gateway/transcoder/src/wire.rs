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
    /// The bytes, the first one lowest.
    word: u64,
    len: u8,
}

// === impl Tag ===

impl Tag {
    pub(crate) fn new(number: u32, wire_type: WireType) -> Self {
        let (word, len) = varint_word(u64::from(number << 3 | wire_type as u32));
        Tag {
            word,
            len: len as u8,
        }
    }

    #[inline]
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_word(out, self.word, usize::from(self.len));
    }

    /// Appends the tag and a varint behind it, in one step where the value is small.
    #[inline]
    pub(crate) fn put_varint(self, value: u64, out: &mut Vec<u8>) {
        if value < 0x80 {
            let word = self.word | value << (8 * self.len);
            put_word(out, word, usize::from(self.len) + 1);
        } else {
            self.put(out);
            put_varint(out, value);
        }
    }

    /// Whether `wire` may begin with a tag of the same field, be it of another wire type or longer than need be: the low bits of
    /// the number are in the first byte, always.
    #[inline]
    pub(crate) fn resembles(self, wire: &[u8]) -> bool {
        wire.first()
            .is_some_and(|byte| (byte ^ self.word as u8) & 0x78 == 0)
    }

    /// What follows the tag, if `wire` begins with it.
    #[inline]
    pub(crate) fn strip(self, wire: &[u8]) -> Option<&[u8]> {
        let len = usize::from(self.len);
        let is_next = match wire.first_chunk() {
            Some(chunk) => (u64::from_le_bytes(*chunk) ^ self.word) << (64 - 8 * len) == 0,
            None => wire.starts_with(&self.word.to_le_bytes()[..len]),
        };
        if is_next { wire.get(len..) } else { None }
    }
}

/// Appends the low `len` bytes of a word. All eight are written and the surplus is taken back: a copy of fixed size costs one
/// instruction, one of variable size costs a call.
#[inline]
pub(crate) fn put_word(out: &mut Vec<u8>, word: u64, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Appends `text[..len]`, by the same trick as [`put_word`] where `text` goes on for long enough.
#[inline]
pub(crate) fn put_prefix(out: &mut Vec<u8>, text: &[u8], len: usize) {
    let end = out.len() + len;
    if let (true, Some(chunk)) = (len <= 16, text.first_chunk::<16>()) {
        out.extend_from_slice(chunk);
        out.truncate(end);
    } else if let (true, Some(chunk)) = (len <= 32, text.first_chunk::<32>()) {
        out.extend_from_slice(chunk);
        out.truncate(end);
    } else {
        out.extend_from_slice(text.get(..len).unwrap_or(text));
    }
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value < 1 << 56 {
        let (word, len) = varint_word(value);
        put_word(out, word, len);
    } else {
        put_long_varint(out, value);
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The varint of a value below 2^56: its bytes, the first one lowest, and their number.
#[inline]
fn varint_word(value: u64) -> (u64, usize) {
    // Groups of 28, 14 and then 7 bits move up into lanes of 32, 16 and 8.
    let spread = (value & 0x0fff_ffff) | (value & 0x00ff_ffff_f000_0000) << 4;
    let spread = (spread & 0x0000_3fff_0000_3fff) | (spread & 0x0fff_c000_0fff_c000) << 2;
    let spread = (spread & 0x007f_007f_007f_007f) | (spread & 0x3f80_3f80_3f80_3f80) << 1;
    let len = varint_len(value);
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
    (spread | more, len)
}

/// How many bytes the varint of a value takes.
#[inline]
fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

pub(crate) fn put_delimited(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    tag.put_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Leaves one byte for a length that is not known yet, and returns where.
#[inline]
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Fills in the length of what was written since [`open`]; content of 128 bytes and more moves up to make room.
#[inline]
pub(crate) fn close(out: &mut Vec<u8>, at: usize) {
    close_wide(out, at, 1);
}

/// As [`open`], with room for a length of `width` bytes: elements of one list are mostly of one size.
#[inline]
pub(crate) fn open_wide(out: &mut Vec<u8>, width: usize) -> usize {
    let at = out.len();
    put_word(out, 0, width);
    at
}

/// As [`close`], for what [`open_wide`] began; returns the width that would have been right.
#[inline]
pub(crate) fn close_wide(out: &mut Vec<u8>, at: usize, width: usize) -> usize {
    let length = (out.len() - at - width) as u64;
    let needed = varint_len(length);
    if needed != width {
        shift(out, at, width, needed);
    }
    // No length in memory needs more than eight bytes.
    let (word, _) = varint_word(length);
    match out.get_mut(at) {
        Some(first) if needed == 1 => *first = length as u8,
        _ => {
            let bytes = word.to_le_bytes();
            if let (Some(place), Some(bytes)) = (out.get_mut(at..at + needed), bytes.get(..needed))
            {
                place.copy_from_slice(bytes);
            }
        }
    }
    needed
}

#[cold]
fn shift(out: &mut Vec<u8>, at: usize, width: usize, needed: usize) {
    let end = out.len();
    out.resize(end + needed.saturating_sub(width), 0);
    out.copy_within(at + width..end, at + needed);
    out.truncate(end + needed - width);
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

/// Boxed, so that what is read comes back in registers.
pub(crate) type Read<T> = Result<T, Box<ResponseError>>;

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Reader { rest }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Read<u64> {
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
        let Some(chunk) = self.rest.first_chunk() else {
            return self.any_varint();
        };
        let word = u64::from_le_bytes(*chunk);
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
        self.rest = self.rest.get(length..).unwrap_or_default();
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
        Err(ResponseError::new(
            "varint is longer than ten bytes or cut off",
        ))
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Read<u32> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(ResponseError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Read<u64> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(ResponseError::new(TRUNCATED));
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    #[inline]
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

    /// As [`Reader::delimited`], for one that copies in large steps: the content, all that follows it, and the content's length.
    #[inline]
    pub(crate) fn delimited_and_more(&mut self) -> Read<(&'a [u8], usize)> {
        let length = self.varint()?;
        let content = self.rest;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match content.get(length..) {
            Some(rest) => self.rest = rest,
            None => return Err(ResponseError::new(TRUNCATED)),
        }
        Ok((content, length))
    }

    /// The next field number and wire type; `None` at the end.
    #[inline]
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
                    *open
                        .get_mut(depth)
                        .ok_or_else(|| ResponseError::new(TOO_DEEP))? = inner;
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
        let edges = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]);
        for value in edges.chain([300, u64::from(u32::MAX), u64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            let mut followed = out.clone();
            followed.extend([0xff; 8]);
            let mut reader = Reader::new(&followed);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.rest, [0xff; 8]);
            let mut long = Vec::new();
            put_long_varint(&mut long, value);
            assert_eq!(out, long);
            reader.rest = &[];
            assert!(reader.rest.is_empty());
        }
    }

    #[test]
    fn length_prefix_grows_with_its_content() {
        let lengths = [0, 1, 127, 128, 16_383, 16_384, 2_097_152];
        for (length, width) in lengths.into_iter().zip([1, 2, 1, 3, 4, 1, 2]) {
            let mut out = vec![9];
            let at = open_wide(&mut out, width);
            out.extend((0..length).map(|n| n as u8));
            close_wide(&mut out, at, width);
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
