//! What crosses the edge beside messages: the caller's deadline and the headers that become metadata.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::error::Failure;

/// Request headers that become metadata of the same name.
const FORWARDED: [&str; 10] = [
    "authorization",
    "traceparent",
    "tracestate",
    "idempotency-key",
    "x-request-id",
    "last-event-id",
    // Written anew by `crate::forwarded`, never as the caller sent them.
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Any other metadata, by the convention of grpc-gateway: `grpc-metadata-tenant: a` becomes `tenant: a`.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// Headers about one connection (RFC 9110 §7.6.1), which a proxy must not pass on. `te` is set anew by the client.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The earliest of the deadlines that the caller names; none is invented.
pub(crate) fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
    let deadlines = [
        chassis::deadline::from_headers(headers)?,
        seconds(headers, "x-server-timeout")?,
        seconds(headers, "request-timeout")?,
    ];
    Ok(deadlines.into_iter().flatten().min())
}

/// The metadata that a caller of the JSON API may send.
pub(crate) fn metadata(headers: &HeaderMap) -> Result<HeaderMap, Failure> {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        let forwarded = FORWARDED.contains(&name.as_str()).then(|| name.clone());
        let unprefixed = || name.as_str().strip_prefix(METADATA_PREFIX).and_then(custom);
        let Some(key) = forwarded.or_else(unprefixed) else {
            continue;
        };
        if !is_printable_ascii(value) {
            return Err(Failure::bad_header(
                name.as_str(),
                "printable ASCII, as metadata of gRPC is",
            ));
        }
        metadata.append(key, value.clone());
    }
    Ok(metadata)
}

/// Removes what concerns the connection to the caller only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Names that steer HTTP or gRPC itself cannot be set through the prefix.
fn custom(name: &str) -> Option<HeaderName> {
    let reserved = name.starts_with("grpc-")
        || name.starts_with("content-")
        || HOP_BY_HOP.contains(&name)
        || matches!(name, "host" | "expect" | "user-agent");
    if reserved { None } else { name.parse().ok() }
}

fn is_printable_ascii(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .iter()
        .all(|byte| (0x20..=0x7e).contains(byte))
}

/// Reads a header of seconds, with or without a fraction; more than the clock can hold is no deadline.
fn seconds(headers: &HeaderMap, name: &str) -> Result<Option<Instant>, Failure> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let plain = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let text = value
        .to_str()
        .ok()
        .filter(|text| text.as_bytes().iter().all(plain));
    let seconds: Option<f64> = text.and_then(|text| text.parse().ok());
    let seconds = seconds.ok_or_else(|| Failure::bad_header(name, "seconds, such as 1.5"))?;
    let timeout = Duration::try_from_secs_f64(seconds).ok();
    Ok(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn seconds_left(pairs: &[(&'static str, &'static str)]) -> Option<f64> {
        let deadline = deadline(&headers(pairs)).unwrap()?;
        Some((deadline - Instant::now()).as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_all_deadlines_counts() {
        assert_eq!(seconds_left(&[]), None);
        assert_eq!(seconds_left(&[("grpc-timeout", "1M")]), Some(60.0));
        assert_eq!(
            seconds_left(&[("grpc-timeout", "1500m"), ("x-server-timeout", "2.5")]),
            Some(1.5)
        );
        assert_eq!(
            seconds_left(&[("request-timeout", "2"), ("x-server-timeout", "2.5")]),
            Some(2.0)
        );
        assert_eq!(
            seconds_left(&[("request-timeout", "99999999999999999999999")]),
            None
        );
    }

    #[test]
    fn a_malformed_deadline_is_refused() {
        for (name, value) in [
            ("grpc-timeout", "S"),
            ("x-server-timeout", "soon"),
            ("x-server-timeout", "-1"),
            ("request-timeout", "inf"),
            ("request-timeout", ""),
        ] {
            let failure = deadline(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(
                failure.status.code(),
                tonic::Code::InvalidArgument,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn only_allowed_headers_become_metadata() {
        let sent = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("connection", "close"),
            ("grpc-metadata-tenant", "a"),
            ("grpc-metadata-tenant", "b"),
            ("grpc-metadata-grpc-timeout", "1S"),
            ("grpc-metadata-content-type", "text/plain"),
            ("last-event-id", "7"),
        ]);
        let expected = headers(&[
            ("authorization", "Bearer x"),
            ("tenant", "a"),
            ("tenant", "b"),
            ("last-event-id", "7"),
        ]);
        assert_eq!(metadata(&sent).unwrap(), expected);
        let unprintable = headers(&[("x-request-id", "a\tb")]);
        assert!(metadata(&unprintable).is_err());
    }

    #[test]
    fn connection_headers_end_at_the_gateway() {
        let mut sent = headers(&[
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("x-kept", "2"),
        ]);
        strip_hop_by_hop(&mut sent);
        assert_eq!(sent, headers(&[("x-kept", "2")]));
    }
}
