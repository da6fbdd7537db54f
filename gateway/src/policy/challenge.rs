//! The challenge of every 401 (RFC 9110 §15.5.2).

use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use tonic::body::Body;

/// The upstream's own challenge, where a protocol or a dialect has renamed it.
const RENAMED: [HeaderName; 2] = [
    HeaderName::from_static("trailer-www-authenticate"),
    HeaderName::from_static("grpc-metadata-www-authenticate"),
];

/// The challenge where the upstream has none: for a token, as metadata carry it.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// Completes a 401 that has no challenge yet, by that of the authentication if it is on.
pub(super) fn challenge(response: &mut Response<Body>, own: Option<&HeaderValue>) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let headers = response.headers_mut();
    if headers.contains_key(WWW_AUTHENTICATE) {
        return;
    }
    let sent = RENAMED.iter().find_map(|name| headers.get(name)).cloned();
    let own = || own.cloned().unwrap_or(BEARER);
    headers.insert(WWW_AUTHENTICATE, sent.unwrap_or_else(own));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_401_has_the_challenge_of_the_upstream_or_one_for_a_token() {
        for (status, sent, expected) in [
            (401, None, Some("Bearer")),
            (401, Some(("www-authenticate", "Basic")), Some("Basic")),
            (
                401,
                Some(("trailer-www-authenticate", "Digest")),
                Some("Digest"),
            ),
            (403, None, None),
        ] {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some((name, value)) = sent {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
            challenge(&mut response, None);
            let found = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(found.map(|value| value.to_str().unwrap()), expected);
        }
    }
}
