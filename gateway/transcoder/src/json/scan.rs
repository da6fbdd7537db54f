//! 32 bytes at a time: where the plain part of a string ends.

use wide::u8x32;
use wire::{CHUNK, chunk, first_bits};

/// Returns how many bytes stand for themselves between JSON quotes: up to a quote, a backslash, a
/// control character or the end.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let len = rest.len().min(CHUNK);
        let found = stops(&chunk(rest, len)) & first_bits(len);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += CHUNK;
    }
    bytes.len()
}

/// Marks quotes, backslashes and control characters: a bit for each byte, the first one lowest.
#[inline]
pub(super) fn stops(chunk: &[u8; CHUNK]) -> u32 {
    let bytes = u8x32::from(*chunk);
    let is_stop = bytes.simd_eq(u8x32::splat(b'"'))
        | bytes.simd_eq(u8x32::splat(b'\\'))
        | bytes.simd_le(u8x32::splat(0x1f));
    is_stop.to_bitmask()
}

/// Marks bytes that are not ASCII.
#[inline]
pub(super) fn beyond_ascii(chunk: &[u8; CHUNK]) -> u32 {
    u8x32::from(*chunk).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_or_passed_at_every_place() {
        for length in 0..80 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut text = vec![b'!'; length];
                    text[place] = byte;
                    let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                    let expected = if is_special { place } else { length };
                    assert_eq!(plain_length(&text), expected, "{byte} at {place}");
                    if let Some(chunk) = text.first_chunk() {
                        let mark = u32::from(place < CHUNK) << (place % CHUNK);
                        let is_high = byte >= 0x80;
                        assert_eq!(stops(chunk), if is_special { mark } else { 0 });
                        assert_eq!(beyond_ascii(chunk), if is_high { mark } else { 0 });
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_of_several_counts() {
        for (text, length) in [
            (&b"ab\"\\\x01\x80\x7f#]!ab"[..], 2),
            (b"a\x80\x81\"bcdefghij", 3),
            (b"\x01\x02\x21\x23\x5b\x5d\x7f\x80", 0),
        ] {
            assert_eq!(plain_length(text), length);
        }
    }
}
