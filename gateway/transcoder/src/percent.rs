//! Percent-decoding of paths and queries: strict about malformed escapes, NUL and UTF-8 (RFC 3986 section 2.1).

use std::borrow::Cow;

const MALFORMED: &str = "malformed percent-encoding";
const NUL: &str = "encoded NUL";
const NOT_UTF8: &str = "percent-encoding is not UTF-8";

/// Decodes every escape: what a variable of one segment gets.
pub(crate) fn decode_all(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    decode(raw, |_| false, false)
}

/// Decodes every escape but `%2F`: what a variable of several segments gets, so that its slashes stay distinguishable.
pub(crate) fn decode_except_slash(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    decode(raw, |byte| byte == b'/', false)
}

/// Decodes every escape, and `+` as a space, as HTML forms write it.
pub(crate) fn decode_query(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    decode(raw, |_| false, true)
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
mod tests {
    use super::*;

    /// The default column of the decoding table: each printable ASCII character, encoded in both cases of hex.
    #[test]
    fn every_character_decodes_as_the_table_says() {
        for byte in 0x20u8..0x7f {
            for raw in [format!("a%{byte:02x}b"), format!("a%{byte:02X}b")] {
                let plain = format!("a{}b", char::from(byte));
                assert_eq!(decode_all(&raw).unwrap(), plain, "{raw}");
                assert_eq!(decode_query(&raw).unwrap(), plain, "{raw}");
                let multi = if byte == b'/' { raw.clone() } else { plain };
                assert_eq!(decode_except_slash(&raw).unwrap(), multi, "{raw}");
            }
        }
    }

    #[test]
    fn plus_is_a_space_in_queries_only() {
        assert_eq!(decode_all("a+b").unwrap(), "a+b");
        assert_eq!(decode_except_slash("a+b").unwrap(), "a+b");
        assert_eq!(decode_query("a+b%2B").unwrap(), "a b+");
    }

    #[test]
    fn unicode_is_put_together() {
        assert_eq!(decode_all("%E2%82%ac").unwrap(), "€");
    }

    #[test]
    fn bad_escapes_are_refused() {
        for raw in ["%", "%2", "%zz", "%2g", "a%", "%-1"] {
            assert_eq!(decode_all(raw), Err(MALFORMED), "{raw}");
        }
        assert_eq!(decode_all("%00"), Err(NUL));
        assert_eq!(decode_all("%ff"), Err(NOT_UTF8));
        assert_eq!(decode_all("%E2%82"), Err(NOT_UTF8));
    }
}
