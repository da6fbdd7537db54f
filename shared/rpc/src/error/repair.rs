//! Repairs the status fields of a peer: whatever is malformed beside the code never costs the code.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use tonic::Code;

use super::GRPC_STATUS;

const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// All but printable ASCII, and `%` (gRPC over HTTP/2, "Percent-Encoded").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// `-bin` values may be padded or not (gRPC over HTTP/2, "Binary-Header").
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Repairs the status in headers or trailers, which clients read in different ways otherwise:
///
/// - `grpc-status` becomes one number: the first error of several, and UNKNOWN in place of a value
///   that is not a non-negative int32 (gRPC over HTTP/2, "Status").
/// - `grpc-message` becomes percent-encoded UTF-8; invalid bytes become U+FFFD ("Status-Message").
/// - `grpc-status-details-bin` that is not base64 is removed.
pub fn repair_status(headers: &mut HeaderMap) {
    repair_code(headers);
    repair_message(headers);
    let broken = headers
        .get(DETAILS)
        .is_some_and(|value| BASE64.decode(value.as_bytes()).is_err());
    if broken {
        headers.remove(DETAILS);
    }
}

fn repair_code(headers: &mut HeaderMap) {
    let mut values = headers.get_all(GRPC_STATUS).iter();
    let is_plain = match (values.next(), values.next()) {
        (None, _) => true,
        (Some(value), None) => parse_code(value.as_bytes()).is_some(),
        (Some(_), Some(_)) => false,
    };
    if is_plain {
        return;
    }
    let values = headers.get_all(GRPC_STATUS).iter();
    let codes = values.map(|value| parse_code(value.as_bytes().trim_ascii()));
    let codes: Vec<i32> = codes
        .map(|code| code.unwrap_or(Code::Unknown as i32))
        .collect();
    let at = codes.iter().position(|code| *code != 0).unwrap_or(0);
    // A message for each code: that of the code that is kept.
    let messages: Vec<_> = headers.get_all(MESSAGE).iter().cloned().collect();
    if messages.len() == codes.len() && messages.len() > 1 {
        headers.insert(MESSAGE, messages[at].clone());
    }
    headers.insert(GRPC_STATUS, HeaderValue::from(codes[at]));
}

/// Returns the code of digits only, at most 2^31 - 1.
pub(super) fn parse_code(value: &[u8]) -> Option<i32> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn repair_message(headers: &mut HeaderMap) {
    let Some(value) = headers.get(MESSAGE) else {
        return;
    };
    // A percent sign without two digits after it stands for itself, as in all clients of gRPC.
    let bytes: Cow<'_, [u8]> = percent_decode(value.as_bytes()).into();
    if value.as_bytes().is_ascii() && std::str::from_utf8(&bytes).is_ok() {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    if let Ok(value) = HeaderValue::try_from(utf8_percent_encode(&text, ENCODED).to_string()) {
        headers.insert(MESSAGE, value);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn repaired(fields: &[(HeaderName, &[u8])]) -> Vec<(String, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(name.clone(), value);
        }
        repair_status(&mut headers);
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.as_bytes().to_vec())
        };
        headers.iter().map(text).collect()
    }

    #[test]
    fn the_code_is_one_number_and_the_first_error_wins() {
        for (sent, expected) in [
            (&["0"][..], "0"),
            (&["5"], "5"),
            (&["2000"], "2000"),
            (&["2147483648"], "2"),
            (&["-1"], "2"),
            (&["+5"], "2"),
            (&[""], "2"),
            (&["5, 5"], "2"),
            (&[" 5"], "5"),
            (&["0", "5"], "5"),
            (&["5", "0"], "5"),
            (&["0", "7", "5"], "7"),
            (&["0", "0"], "0"),
            (&["0", "x"], "2"),
        ] {
            let fields: Vec<_> = sent
                .iter()
                .map(|one| (GRPC_STATUS, one.as_bytes()))
                .collect();
            let expected = (GRPC_STATUS.to_string(), expected.as_bytes().to_vec());
            assert_eq!(repaired(&fields), [expected], "{sent:?}");
        }
    }

    #[test]
    fn the_message_of_the_kept_code_stays() {
        let sent: [(HeaderName, &[u8]); 4] = [
            (GRPC_STATUS, b"0"),
            (MESSAGE, b"fine"),
            (GRPC_STATUS, b"5"),
            (MESSAGE, b"not%20here"),
        ];
        let kept: Vec<_> = repaired(&sent)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(kept, [b"5".to_vec(), b"not%20here".to_vec()]);
    }

    #[test]
    fn a_malformed_message_costs_its_invalid_bytes_only() {
        for (sent, expected) in [
            (&b"not%20here"[..], &b"not%20here"[..]),
            (b"100 %, %4, %zz", b"100 %, %4, %zz"),
            (b"a %ff b", b"a %EF%BF%BD b"),
            (b"50% %ff", b"50%25 %EF%BF%BD"),
            (b"\xff", b"%EF%BF%BD"),
            (b"%e4%bd", b"%EF%BF%BD"),
            (b"caf\xc3\xa9", b"caf%C3%A9"),
            (b"caf%c3%a9", b"caf%c3%a9"),
        ] {
            let fields = repaired(&[(GRPC_STATUS, b"3"), (MESSAGE, sent)]);
            assert_eq!(fields[1].1, expected, "{}", sent.escape_ascii());
            assert_eq!(fields[0].1, b"3");
        }
    }

    #[test]
    fn details_that_are_base64_stay() {
        for details in [&b"CAU"[..], b"CAU=", b""] {
            let sent = [(GRPC_STATUS, &b"5"[..]), (DETAILS, details)];
            assert_eq!(repaired(&sent).len(), 2);
        }
        assert_eq!(repaired(&[(GRPC_STATUS, b"5"), (DETAILS, b"!")]).len(), 1);
    }
}
