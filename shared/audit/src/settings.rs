//! The keys of `[audit]`, with their defaults and bounds.

use std::time::Duration;

use rpc::config::{ConfigError, MAX_NUMBER, check_numbers};
use serde::Deserialize;

/// Fewest and most entries that may wait: fewer would refuse a handful of calls at once, more would
/// take gigabytes.
const MIN_QUEUE: u64 = 16;
const MAX_QUEUE: u64 = 1_000_000;

/// Longest wait for the stream, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;

/// Longest time that a stream keeps entries, in days.
const MAX_AGE_DAYS: u64 = 36_500;

/// Settings of a trail; every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `nats://user:password@host:port` of the server with the stream; empty for no trail.
    pub nats: String,
    /// The fate of a write that can't be recorded.
    pub when_full: WhenFull,
    /// Entries that wait for the stream, of up to 2 KiB each.
    pub queue: u64,
    /// Denials that are recorded in a second; further ones are counted. A caller without any right
    /// must not fill the stream.
    pub denials_per_second: u64,
    /// How long a write waits until its entry is in the stream, in milliseconds; an attempt to
    /// publish is repeated after the same time.
    pub timeout_ms: u64,
    /// How long the stream keeps entries, in days, if this process creates it.
    pub max_age_days: u64,
    /// Servers that hold the stream, if this process creates it: 1, 3 or 5.
    pub replicas: u64,
}

/// The fate of a write whose entry can't be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// It is UNAVAILABLE, and its service gets nothing of it.
    Refuse,
    /// It goes on, and is counted as not recorded.
    Drop,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            nats: String::new(),
            when_full: WhenFull::Refuse,
            queue: 8192,
            denials_per_second: 100,
            timeout_ms: 2000,
            max_age_days: 400,
            replicas: 1,
        }
    }
}

impl Settings {
    /// Returns whether there is a trail.
    pub fn is_set(&self) -> bool {
        !self.nats.is_empty()
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// Names the first key that does not fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let numbers = [
            ("queue", self.queue, MAX_QUEUE),
            ("timeout_ms", self.timeout_ms, MAX_TIMEOUT_MS),
            ("max_age_days", self.max_age_days, MAX_AGE_DAYS),
            ("denials_per_second", self.denials_per_second, MAX_NUMBER),
        ];
        check_numbers("audit.", &numbers)?;
        if self.queue < MIN_QUEUE {
            let problem = format!("expected at least {MIN_QUEUE}, got {}", self.queue);
            return Err(ConfigError::effective("audit.queue", problem));
        }
        if self.is_set() && self.nats.parse::<async_nats::ServerAddr>().is_err() {
            let problem = "expected nats://user:password@host:port";
            return Err(ConfigError::effective("audit.nats", problem));
        }
        match self.replicas {
            1 | 3 | 5 => Ok(()),
            other => {
                let problem = format!("expected 1, 3 or 5, got {other}");
                Err(ConfigError::effective("audit.replicas", problem))
            }
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_days * 24 * 60 * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_out_of_range_is_named() {
        let good = Settings::default();
        good.check().unwrap();
        let cases = [
            (
                Settings {
                    queue: 15,
                    ..good.clone()
                },
                "audit.queue",
            ),
            (
                Settings {
                    timeout_ms: 0,
                    ..good.clone()
                },
                "audit.timeout_ms",
            ),
            (
                Settings {
                    replicas: 2,
                    ..good.clone()
                },
                "audit.replicas",
            ),
            (
                Settings {
                    nats: "nats://[".to_owned(),
                    ..good
                },
                "audit.nats",
            ),
        ];
        for (settings, key) in cases {
            assert_eq!(settings.check().unwrap_err().key, key);
        }
    }
}
