//! Scalars as text, to wire values: numbers without a detour through `f64`, base64 in any alphabet, enum values by name.

use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    json::is_number,
    plan::{EnumId, Kind, Types},
    wire::put_varint,
};

const NOT_INTEGER: &str = "expected an integer";
const NOT_NUMBER: &str = "expected a number";
const OUT_OF_RANGE: &str = "number is out of range";
const NOT_BOOL: &str = "expected true or false";
const NOT_BASE64: &str = "expected base64";

/// Whether the value is the type's default (zero, false, empty), or why the text is none.
pub(crate) type Put = Result<bool, &'static str>;

/// Appends the wire value of `text`, as paths, queries and map keys write scalars.
pub(crate) fn put_text(types: &Types, kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
    match kind {
        Kind::String => {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            Ok(text.is_empty())
        }
        Kind::Bytes => put_base64(text, out),
        Kind::Bool => match text {
            "true" => Ok(put_bool(true, out)),
            "false" => Ok(put_bool(false, out)),
            _ => Err(NOT_BOOL),
        },
        Kind::Enum(_) if is_number(text) => put_enum_number(text, out),
        Kind::Enum(id) => put_enum_name(types, id, text, out),
        Kind::Message(_) | Kind::Group(_) => Err("expected a message"),
        _ => put_number_text(kind, text, out),
    }
}

/// Appends a number that is written as a string: the grammar of JSON numbers, and the names of special floats.
pub(crate) fn put_number_text(kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
    let special = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if is_number(text) => return put_number(kind, text, out),
        _ => return Err(NOT_NUMBER),
    };
    match kind {
        Kind::Double => Ok(put_double(special, out)),
        Kind::Float => Ok(put_float(special as f32, out)),
        _ => Err(NOT_INTEGER),
    }
}

/// Appends a number whose text is known to follow the grammar of JSON numbers.
pub(crate) fn put_number(kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
    match kind {
        Kind::Double => finite(text.parse::<f64>().ok().filter(|v| v.is_finite()))
            .map(|value| put_double(value, out)),
        Kind::Float => finite(text.parse::<f32>().ok().filter(|v| v.is_finite()))
            .map(|value| put_float(value, out)),
        _ => put_integer(kind, integer(text)?, out),
    }
}

fn finite<T>(value: Option<T>) -> Result<T, &'static str> {
    value.ok_or(OUT_OF_RANGE)
}

fn put_integer(kind: Kind, value: i128, out: &mut Vec<u8>) -> Put {
    match kind {
        Kind::Int32 => put_varint(out, i64::from(narrow::<i32>(value)?) as u64),
        Kind::Int64 => put_varint(out, narrow::<i64>(value)? as u64),
        Kind::Uint32 => put_varint(out, u64::from(narrow::<u32>(value)?)),
        Kind::Uint64 => put_varint(out, narrow::<u64>(value)?),
        Kind::Sint32 => put_varint(out, zigzag(i64::from(narrow::<i32>(value)?))),
        Kind::Sint64 => put_varint(out, zigzag(narrow::<i64>(value)?)),
        Kind::Fixed32 => out.extend(narrow::<u32>(value)?.to_le_bytes()),
        Kind::Fixed64 => out.extend(narrow::<u64>(value)?.to_le_bytes()),
        Kind::Sfixed32 => out.extend(narrow::<i32>(value)?.to_le_bytes()),
        Kind::Sfixed64 => out.extend(narrow::<i64>(value)?.to_le_bytes()),
        _ => return Err(NOT_NUMBER),
    }
    Ok(value == 0)
}

fn narrow<T: TryFrom<i128>>(value: i128) -> Result<T, &'static str> {
    T::try_from(value).map_err(|_| OUT_OF_RANGE)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The integer that a JSON number denotes, exactly: `1.0`, `1e2` and `250e-1` are integers too.
fn integer(text: &str) -> Result<i128, &'static str> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(i128::from(value));
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>()),
        None => (text, Ok(0)),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut value: i128 = 0;
    let mut zeros: i64 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| b - b'0') {
        if digit > 0 {
            value = scaled(value, zeros + 1)?
                .checked_add(i128::from(digit))
                .ok_or(OUT_OF_RANGE)?;
            zeros = 0;
        } else if value > 0 {
            zeros += 1;
        }
    }
    if value > 0 {
        let exponent = exponent.map_err(|_| OUT_OF_RANGE)?;
        let scale = exponent.saturating_sub(fraction.len() as i64 - zeros);
        value = scaled(value, scale)?;
    }
    Ok(if mantissa.starts_with('-') {
        -value
    } else {
        value
    })
}

fn scaled(value: i128, exponent: i64) -> Result<i128, &'static str> {
    if exponent < 0 {
        return Err(NOT_INTEGER);
    }
    u32::try_from(exponent)
        .ok()
        .and_then(|exponent| 10i128.checked_pow(exponent))
        .and_then(|factor| value.checked_mul(factor))
        .ok_or(OUT_OF_RANGE)
}

pub(crate) fn put_double(value: f64, out: &mut Vec<u8>) -> bool {
    out.extend(value.to_le_bytes());
    value.to_bits() == 0
}

fn put_float(value: f32, out: &mut Vec<u8>) -> bool {
    out.extend(value.to_le_bytes());
    value.to_bits() == 0
}

pub(crate) fn put_bool(value: bool, out: &mut Vec<u8>) -> bool {
    out.push(u8::from(value));
    !value
}

pub(crate) fn put_enum_name(types: &Types, id: EnumId, name: &str, out: &mut Vec<u8>) -> Put {
    let number = types.enums[id].number(name);
    let number = number.ok_or("no value of the enum has this name")?;
    put_varint(out, i64::from(number) as u64);
    Ok(number == 0)
}

/// Numbers that the enum doesn't know are kept: it may have grown since.
pub(crate) fn put_enum_number(text: &str, out: &mut Vec<u8>) -> Put {
    put_integer(Kind::Int32, integer(text)?, out)
}

/// Appends length and bytes of base64 in the standard or the URL-safe alphabet, padded or not.
pub(crate) fn put_base64(text: &str, out: &mut Vec<u8>) -> Put {
    let is_url_safe = text.bytes().any(|byte| byte == b'-' || byte == b'_');
    let engine = if is_url_safe {
        &ANY_URL_SAFE
    } else {
        &ANY_STANDARD
    };
    let unpadded = text.trim_end_matches('=').len();
    let length = unpadded / 4 * 3 + (unpadded % 4 * 3) / 4;
    put_varint(out, length as u64);
    let start = out.len();
    // The decoder writes whole groups of three before it knows the end.
    out.resize(start + length + 3, 0);
    let written = engine
        .decode_slice(text, &mut out[start..])
        .map_err(|_| NOT_BASE64)?;
    out.truncate(start + written);
    if written == length {
        Ok(length == 0)
    } else {
        Err(NOT_BASE64)
    }
}

const ANY_STANDARD: GeneralPurpose = lenient(&STANDARD);
const ANY_URL_SAFE: GeneralPurpose = lenient(&URL_SAFE);

const fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact() {
        let cases = [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("1.0", Ok(1)),
            ("1e2", Ok(100)),
            ("-250e-1", Ok(-25)),
            ("0.5e1", Ok(5)),
            ("0e99999999999999999999", Ok(0)),
            ("9223372036854775807", Ok(i128::from(i64::MAX))),
            ("18446744073709551615", Ok(i128::from(u64::MAX))),
            ("1.8446744073709551615e19", Ok(i128::from(u64::MAX))),
            ("9007199254740993", Ok(9_007_199_254_740_993)),
            ("1.5", Err(NOT_INTEGER)),
            ("1e-1", Err(NOT_INTEGER)),
            ("1e400", Err(OUT_OF_RANGE)),
            ("1e99999999999999999999", Err(OUT_OF_RANGE)),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_are_checked() {
        let mut out = Vec::new();
        let cases = [
            (Kind::Int32, "2147483648"),
            (Kind::Int32, "-2147483649"),
            (Kind::Uint32, "-1"),
            (Kind::Uint32, "4294967296"),
            (Kind::Int64, "9223372036854775808"),
            (Kind::Uint64, "18446744073709551616"),
            (Kind::Float, "3.5e38"),
            (Kind::Double, "1.8e308"),
        ];
        for (kind, text) in cases {
            assert_eq!(
                put_number(kind, text, &mut out),
                Err(OUT_OF_RANGE),
                "{text}"
            );
        }
        for text in ["", " 1", "1 ", "+1", "01", "0x1", "inf", "nan", "1,0"] {
            assert!(
                put_number_text(Kind::Int32, text, &mut out).is_err(),
                "{text}"
            );
            assert!(
                put_number_text(Kind::Double, text, &mut out).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn base64_takes_every_alphabet() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            let mut out = Vec::new();
            assert_eq!(put_base64(text, &mut out), Ok(false), "{text}");
            assert_eq!(out, [2, 0xfb, 0xff], "{text}");
        }
        for text in ["-/8=", "a", "a===", "%%", "YQ==YQ=="] {
            assert_eq!(put_base64(text, &mut Vec::new()), Err(NOT_BASE64), "{text}");
        }
    }
}
