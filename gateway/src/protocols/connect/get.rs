//! The query of a GET: the message, and how it is written (Connect protocol, "Unary-Get-Request").

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::percent_decode;

use super::bad_parameter;
use crate::failure::Failure;
use crate::protocols::sniff::Codec;

/// Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The query of a GET.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GetQuery {
    pub(super) codec: Codec,
    pub(super) message: Bytes,
    /// The coding of the message, unless it is written plainly.
    pub(super) compression: Option<HeaderValue>,
}

/// Reads a query. Parameters of other names are none of Connect's, and say nothing.
pub(super) fn parse(query: &str) -> Result<GetQuery, Failure> {
    let (mut message, mut encoding, mut base64, mut compression) = (None, None, None, None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = match name {
            "message" => &mut message,
            "encoding" => &mut encoding,
            "base64" => &mut base64,
            "compression" => &mut compression,
            "connect" if value != "v1" => return Err(bad_parameter("connect", "`v1`")),
            _ => continue,
        };
        if known.replace(decode(value)).is_some() {
            return Err(bad_parameter(name, "one value"));
        }
    }
    let codec = match encoding.as_deref() {
        Some(b"proto") => Codec::Proto,
        Some(b"json") => Codec::Json,
        _ => return Err(bad_parameter("encoding", "`proto` or `json`")),
    };
    let message =
        message.ok_or_else(|| bad_parameter("message", "a message, which may be empty"))?;
    let message = match base64.as_deref() {
        None | Some(b"0" | b"") => message,
        Some(b"1") => BASE64
            .decode(message)
            .map_err(|_| bad_parameter("message", "base64url"))?,
        Some(_) => return Err(bad_parameter("base64", "`1`")),
    };
    let compression = compression.filter(|name| !matches!(&**name, b"" | b"identity"));
    let compression = compression
        .map(|name| HeaderValue::from_bytes(&name))
        .transpose();
    Ok(GetQuery {
        codec,
        message: message.into(),
        compression: compression.map_err(|_| bad_parameter("compression", "a content coding"))?,
    })
}

/// As forms are decoded (WHATWG URL, "application/x-www-form-urlencoded").
fn decode(value: &str) -> Vec<u8> {
    let spaced: Vec<u8> = value
        .bytes()
        .map(|byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_a_message() {
        for (query, codec, message, compression) in [
            ("encoding=json&message=%7B%7D", Codec::Json, "{}", None),
            ("connect=v1&message=&encoding=proto", Codec::Proto, "", None),
            (
                "encoding=json&message=a+b%2Bc&x=y",
                Codec::Json,
                "a b+c",
                None,
            ),
            (
                "encoding=proto&base64=1&message=_-8&compression=gzip",
                Codec::Proto,
                "",
                Some("gzip"),
            ),
            (
                "encoding=proto&base64=1&message=YWI%3D&compression=identity",
                Codec::Proto,
                "ab",
                None,
            ),
        ] {
            let asked = parse(query).unwrap();
            let expected: &[u8] = if query.contains("_-8") {
                &[0xff, 0xef]
            } else {
                message.as_bytes()
            };
            assert_eq!((asked.codec, &*asked.message), (codec, expected), "{query}");
            assert_eq!(
                asked
                    .compression
                    .as_ref()
                    .map(|value| value.to_str().unwrap()),
                compression
            );
        }
    }

    #[test]
    fn what_is_missing_doubled_or_malformed_is_named() {
        for (query, name) in [
            ("", "encoding"),
            ("encoding=xml&message=", "encoding"),
            ("encoding=json", "message"),
            ("encoding=json&message=&message=", "message"),
            ("encoding=json&base64=1&message=!", "message"),
            ("encoding=json&base64=yes&message=", "base64"),
            ("connect=v2&encoding=json&message=", "connect"),
            ("encoding=json&message=&compression=%0A", "compression"),
        ] {
            let message = parse(query).unwrap_err().status.message().to_owned();
            assert!(message.contains(&format!("`{name}`")), "{query}: {message}");
        }
    }
}
