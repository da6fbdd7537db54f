//! Malformed status details: tonic assumes that they are base64, and panics otherwise.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;

const DETAILS: &str = "grpc-status-details-bin";

/// `-bin` values come padded or not (gRPC over HTTP/2, "Binary-Header").
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Removes `grpc-status-details-bin` that is not base64 from headers or trailers; code and message of the error stay.
pub fn remove_malformed_details(headers: &mut HeaderMap) {
    let broken = headers
        .get(DETAILS)
        .is_some_and(|value| BASE64.decode(value.as_bytes()).is_err());
    if broken {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(details: &'static str) -> HeaderMap {
        let fields = [
            ("grpc-status", "5"),
            ("grpc-message", "not%20here"),
            (DETAILS, details),
        ];
        let fields = fields.map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        fields.into_iter().collect()
    }

    #[test]
    fn details_that_are_base64_stay() {
        for details in ["CAU", "CAU=", ""] {
            let mut sent = headers(details);
            remove_malformed_details(&mut sent);
            assert_eq!(sent, headers(details));
        }
        let mut sent = headers("!");
        remove_malformed_details(&mut sent);
        assert_eq!((sent.len(), sent.get(DETAILS)), (2, None));
    }
}
