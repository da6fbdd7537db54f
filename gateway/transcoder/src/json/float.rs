//! Appends floating-point numbers, as the shortest text that reads back as the same value.

use wire::{put_prefix, put_wide_word};

use super::write::{ASCII_ZEROS, eight_digits, few_digits};

/// Appends a number; what JSON numbers can't say becomes a string.
#[inline]
pub(crate) fn put_double(value: f64, out: &mut Vec<u8>) {
    match short_decimal(value.abs()) {
        Some(millionths) => put_millionths(value.is_sign_negative(), millionths, out),
        None => put_long_double(value, out),
    }
}

fn put_long_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        put_prefix(out, text, text.len());
    } else {
        out.extend_from_slice(special(value));
    }
}

/// As [`put_double`], shortest for 32 bits.
pub(crate) fn put_float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value).as_bytes();
        put_prefix(out, text, text.len());
    } else {
        out.extend_from_slice(special(f64::from(value)));
    }
}

fn special(value: f64) -> &'static [u8] {
    if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    }
}

/// Smaller numbers may be shorter with an exponent.
const LEAST: f64 = 0.001;
/// Larger numbers may have more digits than [`few_digits`] accepts.
const BOUND: f64 = 1e8;
/// Added to a smaller number it rounds it to an integer, which the low bits of the sum are then.
const INTEGRAL: f64 = (1u64 << 52) as f64;

/// Returns the number times a million, if it is a decimal with at most six fractional digits, as
/// most are.
///
/// The division rounds once, as reading the decimal would, so that it reads back as the value. It
/// has at most 15 digits, and no two decimals of so few are read as the same value: none that is
/// shorter can be another.
#[inline]
fn short_decimal(magnitude: f64) -> Option<u64> {
    let sum = magnitude * 1e6 + INTEGRAL;
    let is_exact = (sum - INTEGRAL) / 1e6 == magnitude;
    let is_in_range = (LEAST..BOUND).contains(&magnitude);
    (is_exact & is_in_range).then_some(sum.to_bits() & ((1 << 52) - 1))
}

/// Appends a number below [`BOUND`] with one to six fractional digits.
#[inline]
fn put_millionths(is_negative: bool, millionths: u64, out: &mut Vec<u8>) {
    let (whole, whole_len) = few_digits((millionths / 1_000_000) as u32);
    let fraction = eight_digits((millionths % 1_000_000) as u32 * 100);
    // The last digit that is not zero is the highest byte that is not. One is written at least.
    let fraction_len = 8 - ((fraction | 1).leading_zeros() / 8) as usize;
    let behind = u128::from(fraction | ASCII_ZEROS) << 8 | u128::from(b'.');
    let unsigned = u128::from(whole) | behind << (8 * whole_len);
    let sign_len = usize::from(is_negative);
    let sign = if is_negative { b'-' } else { 0 };
    let text = unsigned << (8 * sign_len) | u128::from(sign);
    put_wide_word(out, text, sign_len + whole_len + 1 + fraction_len);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        put_double(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_written_as_they_were() {
        for decimal in [
            "0.001",
            "0.1",
            "0.3",
            "1.0",
            "-1.0",
            "9.99",
            "-46.673749",
            "1234.5678",
            "99999999.999999",
            "99999999.0",
            "-12345678.000001",
            "100000000.0",
            "0.001001",
            "0.000999",
            "10.1",
            "100.0",
        ] {
            assert_eq!(text(decimal.parse().unwrap()), decimal);
        }
    }

    #[test]
    fn short_decimals_are_told_from_their_neighbours() {
        for decimal in [0.001, 0.1, 1.0, 9.99, 46.673749, 99_999_999.999_999] {
            let value: f64 = decimal;
            assert!(short_decimal(value).is_some());
            assert_eq!(short_decimal(value.next_up()), None);
            assert_eq!(short_decimal(value.next_down()), None);
        }
        for value in [
            0.0,
            0.000_999,
            1e8,
            1e300,
            f64::INFINITY,
            f64::NAN,
            f64::MIN_POSITIVE,
        ] {
            assert_eq!(short_decimal(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_of_writing_agree(units in 0u64..100_000_000_000_000, decimals in 0i32..8, is_negative: bool) {
            let value = units as f64 / 10f64.powi(decimals);
            let value = if is_negative { -value } else { value };
            let mut long = Vec::new();
            put_long_double(value, &mut long);
            prop_assert_eq!(text(value).into_bytes(), long);
        }

        #[test]
        fn any_bits_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
