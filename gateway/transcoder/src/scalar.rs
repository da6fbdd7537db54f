//! Scalars as text, to wire values: numbers without a detour through `f64`, base64 in any alphabet,
//! enum values by name.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use descriptors::{EnumId, Kind};
use wire::{Reader, put_varint, zigzag};

use crate::json::Number;
use crate::tables::Tables;

const NOT_INTEGER: &str = "expected an integer";
const NOT_NUMBER: &str = "expected a number";
const OUT_OF_RANGE: &str = "number is out of range";
const NOT_BOOL: &str = "expected true or false";
const NOT_BASE64: &str = "expected base64";

/// Whether the value is the type's default (zero, false, empty), or why the text is invalid.
pub(crate) type Put = Result<bool, &'static str>;

/// Appends the wire value of `text`, as paths, queries and map keys write scalars.
pub(crate) fn put_text(types: &Tables, kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
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
        Kind::Enum(id) => match Number::parse(text) {
            Some(number) => put_enum_number(types, id, number, out),
            None => put_enum_name(types, id, text, out),
        },
        Kind::Message(_) | Kind::Group(_) => Err("expected a message"),
        _ => put_number_text(kind, text, out),
    }
}

/// Appends a number that is written as a string: the grammar of JSON numbers, and the names of
/// special floats.
#[inline]
pub(crate) fn put_number_text(kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
    match Number::parse(text) {
        Some(number) => put_number(kind, number, out),
        None => put_special(kind, text, out),
    }
}

#[cold]
fn put_special(kind: Kind, text: &str, out: &mut Vec<u8>) -> Put {
    let special = match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ => return Err(NOT_NUMBER),
    };
    match kind {
        Kind::Double => Ok(put_double(special, out)),
        Kind::Float => Ok(put_float(special as f32, out)),
        _ => Err(NOT_INTEGER),
    }
}

/// Appends a number.
#[inline]
pub(crate) fn put_number(kind: Kind, number: Number<'_>, out: &mut Vec<u8>) -> Put {
    match kind {
        Kind::Double => double(number).map(|value| put_double(value, out)),
        Kind::Float => float(number).map(|value| put_float(value, out)),
        _ if number.is_exact && number.exponent == 0 => {
            put_integer(kind, number.is_negative, number.mantissa, out)
        }
        _ => {
            let value = integer(number.text())?;
            let magnitude = u64::try_from(value.unsigned_abs()).map_err(|_| OUT_OF_RANGE)?;
            put_integer(kind, value < 0, magnitude, out)
        }
    }
}

/// Powers of ten that 64-bit floats hold exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Powers of ten that 32-bit floats hold exactly.
const SMALL_POWERS: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// Returns the nearest 64-bit float.
#[inline]
fn double(number: Number<'_>) -> Result<f64, &'static str> {
    match short_double(number) {
        Some(value) => Ok(value),
        None => finite(number.text().parse::<f64>().ok().filter(|v| v.is_finite())),
    }
}

/// Returns the nearest 64-bit float, where it takes one operation on two exact operands. It rounds
/// once, which is all there is to do for most numbers (Clinger, "How to read floating point numbers
/// accurately").
#[inline]
pub(crate) fn short_double(number: Number<'_>) -> Option<f64> {
    let power = usize::try_from(number.exponent.unsigned_abs()).ok();
    let power = power.and_then(|power| POWERS.get(power))?;
    if !number.is_exact || number.mantissa > 1 << f64::MANTISSA_DIGITS {
        return None;
    }
    let mantissa = number.mantissa as f64;
    let value = if number.exponent < 0 {
        mantissa / power
    } else {
        mantissa * power
    };
    Some(if number.is_negative { -value } else { value })
}

/// As [`double`], in 32 bits.
#[inline]
fn float(number: Number<'_>) -> Result<f32, &'static str> {
    let power = usize::try_from(number.exponent.unsigned_abs()).ok();
    let power = power.and_then(|power| SMALL_POWERS.get(power));
    match power {
        Some(power) if number.is_exact && number.mantissa <= 1 << f32::MANTISSA_DIGITS => {
            let mantissa = number.mantissa as f32;
            let value = if number.exponent < 0 {
                mantissa / power
            } else {
                mantissa * power
            };
            Ok(if number.is_negative { -value } else { value })
        }
        _ => finite(number.text().parse::<f32>().ok().filter(|v| v.is_finite())),
    }
}

fn finite<T>(value: Option<T>) -> Result<T, &'static str> {
    value.ok_or(OUT_OF_RANGE)
}

#[inline]
fn put_integer(kind: Kind, is_negative: bool, magnitude: u64, out: &mut Vec<u8>) -> Put {
    let signed = || signed(is_negative, magnitude);
    let unsigned = || match is_negative && magnitude > 0 {
        true => Err(OUT_OF_RANGE),
        false => Ok(magnitude),
    };
    match kind {
        Kind::Int32 => put_varint(out, i64::from(narrow::<i32, _>(signed()?)?) as u64),
        Kind::Int64 => put_varint(out, signed()? as u64),
        Kind::Uint32 => put_varint(out, u64::from(narrow::<u32, _>(unsigned()?)?)),
        Kind::Uint64 => put_varint(out, unsigned()?),
        Kind::Sint32 => put_varint(out, zigzag(i64::from(narrow::<i32, _>(signed()?)?))),
        Kind::Sint64 => put_varint(out, zigzag(signed()?)),
        Kind::Fixed32 => out.extend_from_slice(&narrow::<u32, _>(unsigned()?)?.to_le_bytes()),
        Kind::Fixed64 => out.extend_from_slice(&unsigned()?.to_le_bytes()),
        Kind::Sfixed32 => out.extend_from_slice(&narrow::<i32, _>(signed()?)?.to_le_bytes()),
        Kind::Sfixed64 => out.extend_from_slice(&signed()?.to_le_bytes()),
        _ => return Err(NOT_NUMBER),
    }
    Ok(magnitude == 0)
}

/// Returns the varint of an integer of at most 16 digits; `None` if it is out of range or the kind
/// is not a varint.
#[inline]
pub(crate) fn short_varint(kind: Kind, is_negative: bool, magnitude: u64) -> Option<u64> {
    let magnitude = magnitude as i64;
    let value = if is_negative { -magnitude } else { magnitude };
    let is_in_range = match kind {
        Kind::Int64 | Kind::Sint64 => true,
        Kind::Int32 | Kind::Sint32 => i32::try_from(value).is_ok(),
        Kind::Uint64 => value >= 0,
        Kind::Uint32 => u32::try_from(value).is_ok(),
        _ => false,
    };
    let varint = match kind {
        Kind::Sint32 | Kind::Sint64 => zigzag(value),
        _ => value as u64,
    };
    is_in_range.then_some(varint)
}

#[inline]
fn signed(is_negative: bool, magnitude: u64) -> Result<i64, &'static str> {
    let value = if is_negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        0i64.checked_add_unsigned(magnitude)
    };
    value.ok_or(OUT_OF_RANGE)
}

#[inline]
fn narrow<T: TryFrom<V>, V>(value: V) -> Result<T, &'static str> {
    T::try_from(value).map_err(|_| OUT_OF_RANGE)
}

/// Returns the integer that a JSON number denotes, exactly: `1.0`, `1e2` and `250e-1` are integers
/// too.
#[cold]
fn integer(text: &str) -> Result<i128, &'static str> {
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
    out.extend_from_slice(&value.to_le_bytes());
    value.to_bits() == 0
}

fn put_float(value: f32, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(&value.to_le_bytes());
    value.to_bits() == 0
}

pub(crate) fn put_bool(value: bool, out: &mut Vec<u8>) -> bool {
    out.push(u8::from(value));
    !value
}

pub(crate) fn put_enum_name(types: &Tables, id: EnumId, name: &str, out: &mut Vec<u8>) -> Put {
    let number = types.enums[id].number(name);
    let number = number.ok_or("no value of the enum has this name")?;
    put_varint(out, i64::from(number) as u64);
    Ok(number == 0)
}

pub(crate) const NO_SUCH_NUMBER: &str = "no value of the closed enum has this number";

/// Numbers that an open enum doesn't know are kept: it may have grown since. In a closed enum they
/// are no values.
pub(crate) fn put_enum_number(
    types: &Tables,
    id: EnumId,
    number: Number<'_>,
    out: &mut Vec<u8>,
) -> Put {
    let start = out.len();
    let is_default = put_number(Kind::Int32, number, out)?;
    if types.enums[id].is_closed {
        let written = Reader::new(out.get(start..).unwrap_or_default()).varint();
        if !written.is_ok_and(|value| types.is_named(id, value)) {
            return Err(NO_SUCH_NUMBER);
        }
    }
    Ok(is_default)
}

/// Appends length and bytes of base64 in the standard or the URL-safe alphabet, padded or not.
pub(crate) fn put_base64(text: &str, out: &mut Vec<u8>) -> Put {
    let is_url_safe = memchr::memchr2(b'-', b'_', text.as_bytes()).is_some();
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
mod tests;
