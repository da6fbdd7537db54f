//! The deadlines that a caller may name.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use tokio::time::Instant;

use crate::failure::Failure;

/// Milliseconds, at most ten digits (Connect protocol, "Timeout").
pub(crate) const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// How long calls may take.
#[derive(Clone, Debug, Deserialize)]
pub struct DeadlineSettings {
    /// The longest that any call may take, in milliseconds; 0 for no bound.
    pub max_ms: u64,
}

impl DeadlineSettings {
    pub(super) fn max(&self) -> Option<Duration> {
        (self.max_ms > 0).then(|| Duration::from_millis(self.max_ms))
    }
}

/// The earliest of the deadlines that the caller names; none is invented.
pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
    let deadlines = [
        chassis::deadline::from_headers(headers)?,
        milliseconds(headers)?,
        seconds(headers, "x-server-timeout")?,
        seconds(headers, "request-timeout")?,
    ];
    Ok(deadlines.into_iter().flatten().min())
}

fn milliseconds(headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
    let Some(value) = headers.get(CONNECT_TIMEOUT) else {
        return Ok(None);
    };
    let digits = value.to_str().ok().filter(|text| {
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let milliseconds: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    let milliseconds = milliseconds.ok_or_else(|| {
        Failure::bad_header(CONNECT_TIMEOUT.as_str(), "milliseconds, at most 10 digits")
    })?;
    Ok(Instant::now().checked_add(Duration::from_millis(milliseconds)))
}

/// Reads a header of seconds, with or without a fraction; more than the clock can hold is no
/// deadline.
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
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn seconds_left(pairs: &[(&'static str, &'static str)]) -> Option<f64> {
        let deadline = asked(&headers(pairs)).unwrap()?;
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
            seconds_left(&[("connect-timeout-ms", "1500"), ("request-timeout", "2")]),
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
            ("connect-timeout-ms", ""),
            ("connect-timeout-ms", "1.5"),
            ("connect-timeout-ms", "10000000000"),
        ] {
            let failure = asked(&headers(&[(name, value)])).unwrap_err();
            assert_eq!(
                failure.status.code(),
                tonic::Code::InvalidArgument,
                "{name}: {value}"
            );
        }
    }
}
