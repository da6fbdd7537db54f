//! Eight bytes at a time: where the plain part of a string ends.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Long strings are passed over in blocks of this size, a loop that compilers turn into vector instructions.
const BLOCK: usize = 32;

/// How many bytes stand for themselves between JSON quotes: up to a quote, a backslash, a control character or the end.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let stops = |byte| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut rest = bytes;
    let mut words = 0;
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        let found = special(u64::from_le_bytes(*chunk));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = tail;
        words += 1;
        if words == BLOCK / 8 {
            rest = skip_blocks(rest, stops);
        }
    }
    let tail = rest.iter().position(|byte| stops(*byte));
    bytes.len() - rest.len() + tail.unwrap_or(rest.len())
}

/// Whether the first `len` bytes stand for themselves between JSON quotes, and are ASCII. What is behind them is loaded too, so
/// that the end of a short text is one word like any other.
#[inline]
pub(super) fn is_plain_ascii(bytes: &[u8], len: usize) -> bool {
    let stops = |byte| !(0x20..0x80).contains(&byte) || byte == b'"' || byte == b'\\';
    let mut at = 0;
    while at < len {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(chunk) = rest.first_chunk() else {
            return !rest.iter().take(len - at).any(|byte| stops(*byte));
        };
        let word = u64::from_le_bytes(*chunk);
        let found = special(word) | (word & HIGH);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8 >= len;
        }
        at += 8;
        if at == BLOCK {
            let within = bytes.get(at..len).unwrap_or_default();
            at = len.max(at) - skip_blocks(within, stops).len();
        }
    }
    true
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
                    let is_plain = !is_special && byte < 0x80;
                    assert_eq!(is_plain_ascii(&text, length), is_plain, "{byte} at {place}");
                    assert_eq!(is_plain_ascii(&text, place + 1), is_plain);
                    assert!(is_plain_ascii(&text, place), "{byte} at {place}");
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
