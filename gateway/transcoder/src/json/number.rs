//! Numbers by the grammar of JSON, taken apart while they are checked.

/// A JSON number: `mantissa * 10^exponent`, and its text for what does not fit in that.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    /// The number and the text after it.
    source: &'a str,
    pub(crate) len: usize,
    pub(crate) is_negative: bool,
    /// All digits, if [`Number::is_exact`].
    pub(crate) mantissa: u64,
    pub(crate) exponent: i64,
    pub(crate) is_exact: bool,
}

/// So many digits fit into 64 bits, whatever they are.
const MAX_DIGITS: usize = 19;

/// One more digit fits, too, after a leading 1, unless the sum has wrapped around: it is smaller
/// than this then.
const OVERFLOWN: u64 = 10_000_000_000_000_000_000;

impl<'a> Number<'a> {
    /// Returns the whole of `text` as a number.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        Self::read(text).filter(|number| number.len == text.len())
    }

    /// Returns the text of the number.
    pub fn text(&self) -> &'a str {
        self.source.get(..self.len).unwrap_or_default()
    }

    /// Returns the integer of at most 16 digits that `text` begins with: its sign, its value, and
    /// what is behind it. `None` for every other, or where less than 16 bytes follow the sign.
    #[inline]
    pub(super) fn short_integer(text: &[u8]) -> Option<(bool, u64, &[u8])> {
        let (is_negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let words = text.first_chunk::<16>()?.as_chunks::<8>().0;
        let (mut length, mut value) = leading_digits(u64::from_le_bytes(*words.first()?));
        if length == 8 {
            let (more, low) = leading_digits(u64::from_le_bytes(*words.get(1)?));
            length += more;
            value = value * POWERS.get(more)? + low;
        }
        let has_leading_zero = length > 1 && text.first() == Some(&b'0');
        if length == 0 || has_leading_zero {
            return None;
        }
        Some((is_negative, value, text.get(length..)?))
    }

    /// Returns the number that `text` begins with: `[ "-" ] int [ frac ] [ exp ]` (RFC 8259 section
    /// 6).
    #[inline]
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_negative = bytes.first() == Some(&b'-');
        let start = usize::from(is_negative);
        let mut mantissa = 0;
        let mut at = digits(bytes, start, &mut mantissa);
        let mut count = at - start;
        if count == 0 || (count > 1 && bytes.get(start) == Some(&b'0')) {
            return None;
        }
        let mut exponent = 0;
        if let Some(b'.') = bytes.get(at) {
            let end = digits(bytes, at + 1, &mut mantissa);
            let fraction = end - at - 1;
            if fraction == 0 {
                return None;
            }
            exponent = -(fraction as i64);
            count += fraction;
            at = end;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let (end, scale) = exponent_at(bytes, at + 1)?;
            exponent = scale.saturating_add(exponent);
            at = end;
        }
        Some(Number {
            source: text,
            len: at,
            is_negative,
            mantissa,
            exponent,
            is_exact: count <= MAX_DIGITS
                || (count == MAX_DIGITS + 1
                    && bytes.get(start) == Some(&b'1')
                    && mantissa >= OVERFLOWN),
        })
    }
}

const POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Adds a run of digits to `value`, which wraps around if it overflows; returns where the run ends.
#[inline]
pub(crate) fn digits(bytes: &[u8], mut at: usize, value: &mut u64) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let (length, number) = leading_digits(u64::from_le_bytes(*chunk));
        *value = value.wrapping_mul(POWERS[length]).wrapping_add(number);
        at += length;
        if length < 8 {
            return at;
        }
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// Returns how many of eight bytes are digits before another comes, and the number they denote:
/// pairs of lanes are added up, one of them times ten, a hundred and ten thousand (Lemire, "Quickly
/// parsing eight digits").
#[inline]
fn leading_digits(word: u64) -> (usize, u64) {
    let digits = word ^ 0x3030_3030_3030_3030;
    // Sums above 9 reach the high bit; only the first of them is exact.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let length = others.trailing_zeros() / 8;
    // Zeros move in where digits are missing.
    let digits = digits.checked_shl(64 - 8 * length).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (length as usize, low.wrapping_add(high) >> 32)
}

/// Returns the end of an exponent and its value, or the largest one there is.
#[cold]
fn exponent_at(bytes: &[u8], start: usize) -> Option<(usize, i64)> {
    let sign = bytes.get(start).filter(|b| matches!(b, b'+' | b'-'));
    let start = start + usize::from(sign.is_some());
    let run = bytes.get(start..)?;
    let run = run.iter().take_while(|byte| byte.is_ascii_digit());
    let mut length = 0;
    let mut value = 0i64;
    for byte in run {
        value = value
            .saturating_mul(10)
            .saturating_add(i64::from(byte - b'0'));
        length += 1;
    }
    let value = if sign == Some(&b'-') { -value } else { value };
    (length > 0).then_some((start + length, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_apart() {
        let cases = [
            ("0", 0, 0),
            ("-0", 0, 0),
            ("120", 120, 0),
            ("1.50", 150, -2),
            ("-2.5E+3", 25, 2),
            ("1e-7", 1, -7),
            ("9999999999999999999", 9_999_999_999_999_999_999, 0),
            ("1e99999999999999999999", 1, i64::MAX),
        ];
        for (text, mantissa, exponent) in cases {
            let number = Number::parse(text).unwrap();
            assert!(number.is_exact);
            assert_eq!(number.is_negative, text.starts_with('-'));
            assert_eq!((number.mantissa, number.exponent), (mantissa, exponent));
        }
        for (text, is_exact) in [
            ("10000000000000000000", true),
            ("18446744073709551615", true),
            ("18446744073709551616", false),
            ("19999999999999999999", false),
            ("99999999999999999999", false),
            ("100000000000000000000", false),
            ("0.1844674407370955161", false),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(number.is_exact, is_exact, "{text}");
            let same = number.mantissa.to_string() == text;
            assert!(same || !is_exact, "{text}");
        }
        assert_eq!(Number::read("12,").unwrap().text(), "12");
    }

    #[test]
    fn short_integers_are_read_at_once() {
        for digits in ["0", "7", "12345678", "123456789", "9999999999999999"] {
            for sign in ["", "-"] {
                let text = format!("{sign}{digits},\"and\":\"what follows\"");
                let (is_negative, value, rest) = Number::short_integer(text.as_bytes()).unwrap();
                assert_eq!(is_negative, !sign.is_empty());
                assert_eq!(value.to_string(), digits);
                assert_eq!(rest, &text.as_bytes()[sign.len() + digits.len()..]);
            }
        }
        for text in ["", "1", "-", "a123456789abcdef", "0123456789abcdef"] {
            assert_eq!(Number::short_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "", "-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "1.e1", "a",
        ] {
            assert!(Number::read(text).is_none(), "{text}");
        }
        for text in ["1 ", "0x1", "1.5.2", "1e5e", "NaN"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn digits_are_counted_and_read_wherever_they_end() {
        let all = "12345678901234567";
        for length in 0..all.len() {
            for tail in ["", ",", ".", "/", ":", "e5", ",1234567890", "\u{80}1234567"] {
                let text = format!("{}{tail}", &all[..length]);
                let mut value = 0;
                assert_eq!(digits(text.as_bytes(), 0, &mut value), length, "{text}");
                assert_eq!(value, all[..length].parse().unwrap_or(0), "{text}");
            }
        }
    }
}
