//! Writing: tags, varints, and length prefixes of what is written before its length is known.

use crate::chunk::{CHUNK, put_window, put_word};

/// How a value is laid out on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// Integers, booleans and enums.
    Varint = 0,
    /// Eight bytes, little-endian.
    Fixed64 = 1,
    /// Strings, bytes, messages and packed runs: a length, then as many bytes.
    Delimited = 2,
    /// The start of a group.
    StartGroup = 3,
    /// The end of a group.
    EndGroup = 4,
    /// Four bytes, little-endian.
    Fixed32 = 5,
}

/// A field tag, encoded once at compile time.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// The bytes, the first one lowest.
    word: u64,
    len: u8,
}

// === impl Tag ===

impl Tag {
    /// Encodes a field number and a wire type.
    pub fn new(number: u32, wire_type: WireType) -> Self {
        let (word, len) = varint_word(u64::from(number << 3 | wire_type as u32));
        Tag {
            word,
            len: len as u8,
        }
    }

    /// Appends the tag.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>) {
        put_word(out, self.word, usize::from(self.len));
    }

    /// Appends the tag and a varint, in one step where the value is small.
    #[inline]
    pub fn put_varint(self, value: u64, out: &mut Vec<u8>) {
        if value < 0x80 {
            let word = self.word | value << (8 * self.len);
            put_word(out, word, usize::from(self.len) + 1);
        } else {
            self.put(out);
            put_varint(out, value);
        }
    }

    /// Appends the tag, a length, and as many bytes of the text.
    #[inline]
    pub fn put_text(self, text: &[u8; CHUNK], len: usize, out: &mut Vec<u8>) {
        let word = self.word | (len as u64) << (8 * self.len);
        let start = usize::from(self.len) + 1;
        put_window(out, |window: &mut [u8; CHUNK + 8]| {
            if let Some(place) = window.first_chunk_mut() {
                *place = word.to_le_bytes();
            }
            if let Some(place) = window.get_mut(start..start + CHUNK) {
                place.copy_from_slice(text);
            }
            start + len
        });
    }

    /// Appends the tag and eight bytes.
    #[inline]
    pub fn put_fixed(self, bytes: [u8; 8], out: &mut Vec<u8>) {
        let word = u128::from(self.word) | u128::from(u64::from_le_bytes(bytes)) << (8 * self.len);
        put_window(out, |window| {
            *window = word.to_le_bytes();
            usize::from(self.len) + 8
        });
    }

    /// Returns whether `wire` may begin with a tag of the same field, be it of another wire type or
    /// longer than need be: the low bits of the number are in the first byte, always.
    #[inline]
    pub fn resembles(self, wire: &[u8]) -> bool {
        wire.first()
            .is_some_and(|byte| (byte ^ self.word as u8) & 0x78 == 0)
    }

    /// Returns the bytes after the tag, if `wire` begins with it.
    #[inline]
    pub fn strip(self, wire: &[u8]) -> Option<&[u8]> {
        let len = usize::from(self.len);
        if let (1, [first, rest @ ..]) = (len, wire) {
            return (*first == self.word as u8).then_some(rest);
        }
        let is_next = match wire.first_chunk() {
            Some(chunk) => (u64::from_le_bytes(*chunk) ^ self.word) << (64 - 8 * len) == 0,
            None => wire.starts_with(&self.word.to_le_bytes()[..len]),
        };
        if is_next { wire.get(len..) } else { None }
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        put_any_varint(out, value);
    }
}

/// As [`put_varint`], without a branch on the length: for numbers whose length can't be predicted.
#[inline]
pub fn put_any_varint(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 56 {
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

/// Returns the varint of a value below 2^56: its bytes, the first one lowest, and their number.
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

/// Returns how many bytes the varint of a value takes.
#[inline]
pub fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends a tag, a length and the content.
pub fn put_delimited(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    tag.put_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Leaves one byte for a length that is not known yet, and returns where.
#[inline]
pub fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Fills in the length of what was written since [`open`]; content of 128 bytes and more moves up
/// to make room.
#[inline]
pub fn close(out: &mut Vec<u8>, at: usize) {
    close_wide(out, at, 1);
}

/// As [`open`], leaving `width` bytes for the length: elements of one list are mostly of one size.
#[inline]
pub fn open_wide(out: &mut Vec<u8>, width: usize) -> usize {
    let at = out.len();
    put_word(out, 0, width);
    at
}

/// As [`close`], for what [`open_wide`] began; returns the width that would have been right.
#[inline]
pub fn close_wide(out: &mut Vec<u8>, at: usize, width: usize) -> usize {
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

/// Returns the varint that a `sint32` or `sint64` is on the wire.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Returns the integer that the varint of a `sint32` or `sint64` stands for.
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

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
}
