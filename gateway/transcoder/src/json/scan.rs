//! Eight bytes at a time: where the plain part of a string ends.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Long strings are passed over in blocks of this size, a loop that compilers turn into vector instructions.
const BLOCK: usize = 32;

/// How many bytes stand for themselves between JSON quotes: up to a quote, a backslash, a control character or the end.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    scan(bytes, special, |byte| {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    })
}

/// As [`plain_length`], and stops at what is not ASCII too.
#[inline]
pub(super) fn plain_ascii_length(bytes: &[u8]) -> usize {
    scan(
        bytes,
        |word| special(word) | (word & HIGH),
        |byte| byte < 0x20 || byte >= 0x80 || byte == b'"' || byte == b'\\',
    )
}

/// The index of the first byte that `stops`, which `flags` marks by the high bit of its place in a word.
#[inline]
fn scan(bytes: &[u8], flags: impl Fn(u64) -> u64, stops: impl Fn(u8) -> bool + Copy) -> usize {
    let mut rest = bytes;
    let mut words = 0;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        let found = flags(u64::from_le_bytes(*chunk));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = tail;
        words += 1;
        if words == 4 {
            rest = skip_blocks(rest, stops);
        }
    }
    let tail = rest.iter().position(|byte| stops(*byte));
    bytes.len() - rest.len() + tail.unwrap_or(rest.len())
}

#[inline]
fn skip_blocks(mut rest: &[u8], stops: impl Fn(u8) -> bool + Copy) -> &[u8] {
    while let Some((block, tail)) = rest.split_first_chunk::<BLOCK>() {
        // Without an early exit, which would keep it from being vectorized.
        if block.iter().fold(false, |found, byte| found | stops(*byte)) {
            break;
        }
        rest = tail;
    }
    rest
}

/// Marks quotes, backslashes and control characters. A mark may be wrong only behind a right one, as borrows run upwards.
#[inline]
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGH
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
                    let expected = if byte >= 0x80 { place } else { expected };
                    assert_eq!(plain_ascii_length(&text), expected, "{byte} at {place}");
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
