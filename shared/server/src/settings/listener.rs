//! The keys under `[listener]`: what a connection and a request may take.

use std::time::Duration;

use serde::Deserialize;

use rpc::config::ConfigError;

/// The keys under `[listener]`; `config.default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenerSettings {
    /// Whether other processes may listen on the same port.
    pub reuse_port: bool,
    /// Connections of one address at once; 0 for no bound.
    pub max_connections_per_address: usize,
    /// Bound of the head of an HTTP/1 request, from its first byte, in milliseconds.
    pub header_timeout_ms: u64,
    /// How long a connection without requests is kept, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long the next byte of a body that is one message may keep waiting, in milliseconds.
    pub body_stall_timeout_ms: u64,
    /// How long a client may leave a response unread, in milliseconds.
    pub response_stall_timeout_ms: u64,
    /// Largest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// Header fields of a request.
    pub max_headers: usize,
    /// Longest request target, in bytes.
    pub max_target_bytes: usize,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// Streams that a client may have reset before they were looked at.
    pub max_pending_resets: usize,
    /// Streams that may have been reset for a client's errors.
    pub max_error_resets: usize,
    /// Bytes of one request body on their way, with HTTP/2.
    pub stream_window_bytes: u32,
    /// Bytes of all request bodies of a connection on their way, with HTTP/2.
    pub connection_window_bytes: u32,
}

/// The smallest head that hyper can be told to take.
const HEADER_BYTES_MIN: u32 = 8192;

/// The smallest and the largest window (RFC 9113 §6.9.2: what a connection begins with, and what it can't exceed).
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

// === impl ListenerSettings ===

impl ListenerSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// Names the first key whose value is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
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
                return Err(refused(key, "expected a number above 0, got 0"));
            }
        }
        if self.max_header_bytes < HEADER_BYTES_MIN {
            let problem = format!(
                "expected at least {HEADER_BYTES_MIN}, got {}",
                self.max_header_bytes
            );
            return Err(refused("max_header_bytes", &problem));
        }
        for (key, value) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !WINDOW_BYTES.contains(&value) {
                let (low, high) = WINDOW_BYTES.into_inner();
                return Err(refused(
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

    /// How long a client may leave a response unread.
    pub fn response_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.response_stall_timeout_ms)
    }

    /// How long the next byte of a body that is one message may keep waiting.
    pub fn body_stall_timeout(&self) -> Duration {
        Duration::from_millis(self.body_stall_timeout_ms)
    }
}

fn refused(key: &str, problem: &str) -> ConfigError {
    ConfigError::new(
        format!("listener.{key}"),
        problem,
        "the effective configuration",
    )
}
