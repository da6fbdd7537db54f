//! The keys under `[listener]`: limits of a connection and of a request.

use std::time::Duration;

use http::uri::Authority;
use rpc::body::stalled::Pace;
use rpc::config::ConfigError;
use serde::Deserialize;

/// The keys under `[listener]`; `config.default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenerSettings {
    /// Hosts that requests may name; none for any.
    pub allowed_hosts: Vec<String>,
    /// Whether other processes may listen on the same port.
    pub reuse_port: bool,
    /// Connections of one address at once; 0 for no bound.
    pub max_connections_per_address: usize,
    /// Memory that requests may hold, in bytes.
    pub max_held_bytes: usize,
    /// Bound of the head of an HTTP/1 request, from its first byte, in milliseconds.
    pub header_timeout_ms: u64,
    /// Limit of a connection without requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Limit of the wait for the next byte of a body that is one message, in milliseconds.
    pub body_stall_timeout_ms: u64,
    /// Lowest rate of a body that is one message, in bytes per second; 0 for any.
    pub min_body_bytes_per_s: u64,
    /// Limit of an unread response, in milliseconds.
    pub response_stall_timeout_ms: u64,
    /// Largest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// Header fields of a request.
    pub max_headers: usize,
    /// Longest request target, in bytes.
    pub max_target_bytes: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub max_streams: u32,
    /// Streams that a client may reset before they are accepted.
    pub max_pending_resets: usize,
    /// Streams that may be reset for a client's errors.
    pub max_error_resets: usize,
    /// HTTP/2 window of one request body, in bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 window of all request bodies of a connection, in bytes.
    pub connection_window_bytes: u32,
}

/// The smallest budget, in bytes.
const HELD_BYTES_MIN: usize = 1 << 20;

/// The smallest limit that hyper accepts.
const HEADER_BYTES_MIN: usize = 8192;

/// The initial window of HTTP/2 and the largest (RFC 9113 §6.9.2).
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

// === impl ListenerSettings ===

impl ListenerSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(name) = self.allowed_hosts.iter().find(|name| !is_host(name)) {
            let problem =
                format!("`{name}` is not `host` or `*.host` in lower case, without a port");
            return Err(invalid("allowed_hosts", &problem));
        }
        for (key, value) in [
            ("header_timeout_ms", self.header_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("body_stall_timeout_ms", self.body_stall_timeout_ms),
            ("response_stall_timeout_ms", self.response_stall_timeout_ms),
            ("max_headers", self.max_headers as u64),
            ("max_target_bytes", self.max_target_bytes as u64),
            ("max_streams", self.max_streams.into()),
            ("max_pending_resets", self.max_pending_resets as u64),
            ("max_error_resets", self.max_error_resets as u64),
        ] {
            if value == 0 {
                return Err(invalid(key, "expected a number above 0, got 0"));
            }
        }
        for (key, value, least) in [
            (
                "max_header_bytes",
                self.max_header_bytes as usize,
                HEADER_BYTES_MIN,
            ),
            ("max_held_bytes", self.max_held_bytes, HELD_BYTES_MIN),
        ] {
            if value < least {
                return Err(invalid(
                    key,
                    &format!("expected at least {least}, got {value}"),
                ));
            }
        }
        for (key, value) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !WINDOW_BYTES.contains(&value) {
                let (low, high) = WINDOW_BYTES.into_inner();
                return Err(invalid(
                    key,
                    &format!("expected {low} to {high}, got {value}"),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Returns the limit of an unread response.
    pub fn response_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.response_stall_timeout_ms)
    }

    /// Returns how slow a body that is one message may be.
    pub fn body_pace(&self) -> Pace {
        Pace {
            timeout: Duration::from_millis(self.body_stall_timeout_ms),
            min_bytes_per_s: self.min_body_bytes_per_s,
        }
    }
}

fn is_host(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let authority = host.parse::<Authority>().ok();
    authority.is_some_and(|authority| authority.host() == host)
        && !host.contains('*')
        && !host.ends_with('.')
        && !host.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn invalid(key: &str, problem: &str) -> ConfigError {
    ConfigError::effective(format!("listener.{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_without_a_port() {
        for host in ["a", "a.b", "*.a", "127.0.0.1", "[::1]"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", "*", "a:80", "http://a", "A", "a.*", "*.*.a", "a.", "a/b", "u@a",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
