//! Percent-decoding of paths and queries: strict about malformed escapes, NUL and UTF-8 (RFC 3986
//! section 2.1).

use std::borrow::Cow;

use crate::options::PathDecoding;

const MALFORMED: &str = "malformed percent-encoding";
const NUL: &str = "encoded NUL";
const NOT_UTF8: &str = "percent-encoding is not UTF-8";

/// RFC 6570 section 1.5, both kinds of reserved characters.
const RESERVED: &[u8] = b"!#$&'()*+,/:;=?@[]";

/// Decodes every escape: what a variable of one segment gets.
pub fn decode_all(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    decode(raw, |_| false, false)
}

/// Decodes what a variable of several segments gets.
pub fn decode_multi(raw: &str, mode: PathDecoding) -> Result<Cow<'_, str>, &'static str> {
    match mode {
        PathDecoding::ExceptSlash => decode(raw, |byte| byte == b'/', false),
        PathDecoding::ExceptReserved => decode(raw, |byte| RESERVED.contains(&byte), false),
        PathDecoding::All => decode_all(raw),
    }
}

/// Decodes every escape of a query, and `+` as a space where the options say so.
pub fn decode_query(raw: &str, plus_is_space: bool) -> Result<Cow<'_, str>, &'static str> {
    decode(raw, |_| false, plus_is_space)
}

fn decode(
    raw: &str,
    keep: impl Fn(u8) -> bool,
    plus_is_space: bool,
) -> Result<Cow<'_, str>, &'static str> {
    let is_special = |byte: &u8| *byte == b'%' || *byte == 0 || (plus_is_space && *byte == b'+');
    if !raw.as_bytes().iter().any(is_special) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let [high, low, tail @ ..] = rest else {
                    return Err(MALFORMED);
                };
                let byte = hex(*high)? << 4 | hex(*low)?;
                rest = tail;
                match byte {
                    0 => return Err(NUL),
                    byte if keep(byte) => decoded.extend([b'%', *high, *low]),
                    byte => decoded.push(byte),
                }
            }
            0 => return Err(NUL),
            b'+' if plus_is_space => decoded.push(b' '),
            byte => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| NOT_UTF8)
}

fn hex(digit: u8) -> Result<u8, &'static str> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests;
