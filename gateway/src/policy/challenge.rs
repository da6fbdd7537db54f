//! The challenge of every 401 (RFC 9110 §15.5.2), and of a 403 for which scopes are missing.

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

/// Returns the challenge `own` with an error (RFC 6750 §3), and the scopes that the method needs.
/// `error` and `description` are without quotation marks; `None` for what no header can hold.
pub(super) fn with_error(
    own: &HeaderValue,
    error: &str,
    description: &str,
    scopes: &[Box<str>],
) -> Option<(HeaderName, HeaderValue)> {
    let own = own.to_str().unwrap_or_default();
    let separator = if own == "Bearer" { " " } else { ", " };
    // Names of scopes have no quotation marks either.
    let scope = match scopes {
        [] => String::new(),
        scopes => format!(", scope=\"{}\"", scopes.join(" ")),
    };
    let text =
        format!("{own}{separator}error=\"{error}\", error_description=\"{description}\"{scope}");
    let value = HeaderValue::try_from(text).ok()?;
    Some((WWW_AUTHENTICATE, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_scopes_that_a_caller_needs() {
        for (own, scopes, expected) in [
            (
                "Bearer",
                &[][..],
                "Bearer error=\"e\", error_description=\"d\"",
            ),
            (
                "Bearer resource_metadata=\"https://a\"",
                &["read".into(), "write".into()][..],
                "Bearer resource_metadata=\"https://a\", error=\"e\", error_description=\"d\", \
                 scope=\"read write\"",
            ),
        ] {
            let own = HeaderValue::from_static(own);
            let (name, value) = with_error(&own, "e", "d", scopes).unwrap();
            assert_eq!(
                (name, value.to_str().unwrap()),
                (WWW_AUTHENTICATE, expected)
            );
        }
    }

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
