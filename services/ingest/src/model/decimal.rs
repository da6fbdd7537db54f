//! Decimal numbers of files as integers, without rounding.

/// Most digits before the point: a number beyond that is a mistake, and scaled it still fits 64
/// bits.
const MAX_DIGITS: usize = 12;

/// Most decimals a currency may have, so that every accepted number fits 64 bits.
pub const MAX_SCALE: u32 = 6;

/// A decimal in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minor {
    /// An exact number of minor units.
    Exact(i64),
    /// Decimals beyond the scale that aren't all 0.
    TooFine,
}

/// Parses `[+-]?` and 1 to 12 digits.
pub fn whole(text: &str) -> Option<i64> {
    let (negative, digits) = sign(text);
    let value = digits_of(digits)?;
    Some(if negative { -value } else { value })
}

/// Parses `[+-]?`, 1 to 12 digits and optionally a point with digits, as minor units of `scale`
/// decimals.
pub fn minor(text: &str, scale: u32) -> Option<Minor> {
    let (negative, unsigned) = sign(text);
    let (units, fraction) = match unsigned.split_once('.') {
        Some((units, fraction)) if !fraction.is_empty() => (units, fraction),
        Some(_) => return None,
        None => (unsigned, ""),
    };
    let units = digits_of(units)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = scale.min(MAX_SCALE) as usize;
    if fraction.bytes().skip(scale).any(|digit| digit != b'0') {
        return Some(Minor::TooFine);
    }
    let decimals = fraction.bytes().chain(std::iter::repeat(b'0')).take(scale);
    let value = decimals.fold(units, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(Minor::Exact(if negative { -value } else { value }))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn digits_of(text: &str) -> Option<i64> {
    let plain =
        (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_exact() {
        let cases = [
            ("2.55", Some(Minor::Exact(255))),
            ("2.550", Some(Minor::Exact(255))),
            ("+7", Some(Minor::Exact(700))),
            ("0.29", Some(Minor::Exact(29))),
            ("0.5", Some(Minor::Exact(50))),
            ("007.10", Some(Minor::Exact(710))),
            ("-0", Some(Minor::Exact(0))),
            ("-0.00", Some(Minor::Exact(0))),
            ("-1.25", Some(Minor::Exact(-125))),
            ("999999999999.99", Some(Minor::Exact(99_999_999_999_999))),
            ("0.001", Some(Minor::TooFine)),
            ("-1.005", Some(Minor::TooFine)),
            (
                "1.00000000000000000000000000000000001",
                Some(Minor::TooFine),
            ),
            ("1000000000000", None),
            ("1e3", None),
            ("1,50", None),
            ("1.", None),
            (".5", None),
            ("--1", None),
            ("+-1", None),
            ("1.2.3", None),
            ("1.-2", None),
            ("£1", None),
            ("٣", None),
            ("NaN", None),
            ("", None),
            ("-", None),
        ];
        for (text, expected) in cases {
            assert_eq!(minor(text, 2), expected, "{text:?}");
        }
    }

    #[test]
    fn the_scale_decides_what_is_too_fine() {
        assert_eq!(minor("12.5", 0), Some(Minor::TooFine));
        assert_eq!(minor("12.0", 0), Some(Minor::Exact(12)));
        assert_eq!(minor("1.234", 3), Some(Minor::Exact(1234)));
        assert_eq!(
            minor("999999999999.999999", MAX_SCALE),
            Some(Minor::Exact(999_999_999_999_999_999))
        );
    }

    #[test]
    fn whole_numbers_have_no_point() {
        let cases = [
            ("6", Some(6)),
            ("-6", Some(-6)),
            ("+6", Some(6)),
            ("-0", Some(0)),
            ("999999999999", Some(999_999_999_999)),
            ("9999999999999", None),
            ("6.0", None),
            ("six", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in -99_999_999_999_999_i64..99_999_999_999_999) {
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", value.abs() / 100, value.abs() % 100);
            prop_assert_eq!(minor(&text, 2), Some(Minor::Exact(value)));
        }
    }
}
