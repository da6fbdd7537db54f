//! Appends JSON strings and numbers.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use wire::{CHUNK, chunk, first_bits, put_wide_word, put_window, put_word};

use super::scan;

/// The letter after the backslash for each control character; `u` for those without a short form.
const CONTROL: [u8; 32] = *b"uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";
const HEX: [u8; 16] = *b"0123456789abcdef";

/// Appends the bytes of a string field, quoted; the bytes may continue after `len`. Returns whether
/// all of them are ASCII: where they are not, they still have to be checked for UTF-8.
#[inline]
pub(crate) fn put_text(bytes: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
    if len <= CHUNK {
        let text = chunk(bytes, len);
        let within = first_bits(len);
        if scan::stops(&text) & within == 0 {
            put_window(out, |window: &mut [u8; CHUNK + 2]| {
                let [open, content @ .., _] = window;
                *open = b'"';
                content.copy_from_slice(&text);
                if let Some(close) = window.get_mut(len + 1) {
                    *close = b'"';
                }
                len + 2
            });
            return scan::beyond_ascii(&text) & within == 0;
        }
    }
    put_quoted(bytes, len, out)
}

/// Appends a quoted string.
pub(crate) fn put_string(text: &str, out: &mut Vec<u8>) {
    put_quoted(text.as_bytes(), text.len(), out);
}

/// As [`put_text`], of any text.
fn put_quoted(bytes: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
    let mut beyond_ascii = 0;
    let (mut rest, mut left) = (bytes, len);
    out.push(b'"');
    while left > 0 {
        let step = left.min(CHUNK);
        let text = chunk(rest, step);
        let stops = scan::stops(&text) & first_bits(step);
        let plain = step.min(stops.trailing_zeros() as usize);
        beyond_ascii |= scan::beyond_ascii(&text) & first_bits(plain);
        let end = out.len() + plain;
        out.extend_from_slice(&text);
        out.truncate(end);
        let mut done = plain;
        if stops != 0 {
            put_escape(text.get(plain).copied().unwrap_or_default(), out);
            done += 1;
        }
        rest = rest.get(done..).unwrap_or_default();
        left -= done;
    }
    out.push(b'"');
    beyond_ascii == 0
}

fn put_escape(byte: u8, out: &mut Vec<u8>) {
    match CONTROL.get(usize::from(byte)) {
        None => out.extend([b'\\', byte]),
        Some(b'u') => {
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Some(short) => out.extend([b'\\', *short]),
    }
}

/// Appends a quoted string of standard, padded base64.
pub(crate) fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The size is exact by the definition of base64.
    let written = BASE64_STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

#[inline]
pub(crate) fn put_signed(value: i64, out: &mut Vec<u8>) {
    let (is_negative, magnitude) = (value < 0, value.unsigned_abs());
    if magnitude < 100_000_000 {
        // Nobody can guess the sign of the next number, so that it is better not to jump by it.
        let (digits, len) = few_digits(magnitude as u32);
        let sign_len = usize::from(is_negative);
        let sign = if is_negative { b'-' } else { 0 };
        let word = u128::from(digits) << (8 * sign_len) | u128::from(sign);
        put_wide_word(out, word, len + sign_len);
    } else {
        put_large_signed(is_negative, magnitude, out);
    }
}

#[inline]
fn put_large_signed(is_negative: bool, magnitude: u64, out: &mut Vec<u8>) {
    if is_negative {
        out.push(b'-');
    }
    let (high, low) = (magnitude / 100_000_000, magnitude % 100_000_000);
    if high >= 100_000_000 {
        return put_large(magnitude, out);
    }
    let (digits, len) = few_digits(high as u32);
    let word = u128::from(digits) | u128::from(eight_digits(low as u32) | ASCII_ZEROS) << (8 * len);
    put_wide_word(out, word, len + 8);
}

#[inline]
pub(crate) fn put_unsigned(value: u64, out: &mut Vec<u8>) {
    if value < 100_000_000 {
        let (digits, len) = few_digits(value as u32);
        put_word(out, digits, len);
    } else {
        put_large(value, out);
    }
}

/// Appends an integer in quotes.
#[inline]
pub(crate) fn put_quoted_integer(is_negative: bool, magnitude: u64, out: &mut Vec<u8>) {
    if magnitude >= 10_000_000_000_000_000 {
        out.extend_from_slice(if is_negative { b"\"-" } else { b"\"" });
        put_large(magnitude, out);
        out.push(b'"');
        return;
    }
    let (digits, len) = many_digits(magnitude);
    put_window(out, |window: &mut [u8; 19]| {
        // Without the sign, digits take its place.
        *window = *b"\"-                \"";
        let start = 1 + usize::from(is_negative);
        if let Some(place) = window.get_mut(start..start + 16) {
            place.copy_from_slice(&digits.to_le_bytes());
        }
        if let Some(close) = window.get_mut(start + len) {
            *close = b'"';
        }
        start + len + 1
    });
}

fn put_large(value: u64, out: &mut Vec<u8>) {
    let (high, low) = (
        value / 10_000_000_000_000_000,
        value % 10_000_000_000_000_000,
    );
    if high == 0 {
        let (digits, len) = many_digits(low);
        put_window(out, |window| {
            *window = digits.to_le_bytes();
            len
        });
    } else {
        let (digits, len) = few_digits(high as u32);
        put_word(out, digits, len);
        out.extend_from_slice(&sixteen_digits(low).to_le_bytes());
    }
}

/// Returns the digits of a number below 10^8, the first one lowest, and how many there are.
#[inline]
pub(super) fn few_digits(value: u32) -> (u64, usize) {
    let digits = eight_digits(value);
    // At least one digit, also of zero.
    let zeros = digits.trailing_zeros().min(56) / 8;
    ((digits | ASCII_ZEROS) >> (8 * zeros), 8 - zeros as usize)
}

/// As [`few_digits`], of a number below 10^16.
#[inline]
fn many_digits(value: u64) -> (u128, usize) {
    let digits = sixteen_digits(value);
    let zeros = (digits ^ u128::from(ASCII_ZEROS) << 64 ^ u128::from(ASCII_ZEROS))
        .trailing_zeros()
        .min(120)
        / 8;
    (digits >> (8 * zeros), 16 - zeros as usize)
}

#[inline]
fn sixteen_digits(value: u64) -> u128 {
    let high = eight_digits((value / 100_000_000) as u32) | ASCII_ZEROS;
    let low = eight_digits((value % 100_000_000) as u32) | ASCII_ZEROS;
    u128::from(high) | u128::from(low) << 64
}

pub(super) const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// Returns the decimal digits of a number below 10^8, one in each byte, the first one lowest. Pairs
/// of digits, then digits, are told apart in all lanes at once, dividing by a multiplication that
/// is exact for values so small.
#[inline]
pub(super) fn eight_digits(value: u32) -> u64 {
    let halves = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    let upper = ((halves * 5243) >> 19) & 0x0000_007f_0000_007f;
    let pairs = upper | (halves - 100 * upper) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

/// Returns the eight digits of a number below 10^8, leading zeros too.
#[inline]
pub(crate) fn padded(value: u32) -> [u8; 8] {
    (eight_digits(value) | ASCII_ZEROS).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: i64) -> String {
        let mut out = Vec::new();
        put_signed(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_decimal() {
        for power in 0..19 {
            for near in [-1, 0, 1, 7] {
                let value = 10i64.pow(power) + near;
                assert_eq!(text(value), value.to_string());
                assert_eq!(text(-value), (-value).to_string());
            }
        }
        assert_eq!(text(i64::MIN), i64::MIN.to_string());
        let mut out = Vec::new();
        put_unsigned(u64::MAX, &mut out);
        assert_eq!(out, u64::MAX.to_string().as_bytes());
    }

    /// Both halves go through the same steps, so that all values of one half are all there is to
    /// see.
    #[test]
    fn four_digits_come_apart_exactly() {
        for value in 0..10_000 {
            let digits = (eight_digits(value * 10_000 + value) | ASCII_ZEROS).to_le_bytes();
            assert_eq!(digits, *format!("{value:04}{value:04}").as_bytes());
        }
    }
}
