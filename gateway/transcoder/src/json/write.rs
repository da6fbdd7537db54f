//! Appends JSON strings and numbers.

use base64::{Engine, prelude::BASE64_STANDARD};

/// What stands behind the backslash for each control character; `u` for those without a short form.
const CONTROL: [u8; 32] = *b"uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";
const HEX: [u8; 16] = *b"0123456789abcdef";

/// Appends a quoted string.
pub(crate) fn put_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    put_escaped(text, out);
    out.push(b'"');
}

/// Appends the inside of a quoted string.
fn put_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(length) = rest
        .iter()
        .position(|b| *b < 0x20 || *b == b'"' || *b == b'\\')
    {
        let (plain, tail) = rest.split_at(length);
        out.extend_from_slice(plain);
        let byte = tail[0];
        match CONTROL.get(usize::from(byte)) {
            None => out.extend([b'\\', byte]),
            Some(b'u') => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            Some(short) => out.extend([b'\\', *short]),
        }
        rest = &tail[1..];
    }
    out.extend_from_slice(rest);
}

/// Appends a quoted string of standard, padded base64.
pub(crate) fn put_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exact by the definition of base64.
    let written = BASE64_STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

pub(crate) fn put_signed(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn put_unsigned(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest text that reads back as the same value; what JSON numbers can't say becomes a string.
pub(crate) fn put_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(special(value));
    }
}

/// As [`put_double`], shortest for 32 bits.
pub(crate) fn put_float(value: f32, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
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
