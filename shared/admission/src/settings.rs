//! The settings of a limiter: the keys under `[admission]`.

use std::time::Duration;

use rpc::config::ConfigError;
use serde::{Deserialize, Serialize};

/// The keys of a limiter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionSettings {
    /// Whether calls are limited at all.
    pub enabled: bool,
    /// The lowest limit of concurrent calls.
    pub min_limit: usize,
    /// The limit before anything is known.
    pub initial_limit: usize,
    /// The highest limit.
    pub max_limit: usize,
    /// Calls in the queue; beyond it the oldest call of the largest backlog is rejected.
    pub max_queue: usize,
    /// Wait in milliseconds at which a queue counts as overload: then the newest call is first.
    pub max_wait_ms: u64,
    /// Time in milliseconds after which a call without an answer no longer counts as load: it
    /// waits for something else.
    pub max_hold_ms: u64,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            min_limit: 2,
            initial_limit: 32,
            max_limit: 20_000,
            max_queue: 1000,
            max_wait_ms: 100,
            max_hold_ms: 10_000,
        }
    }
}

// === impl AdmissionSettings ===

impl AdmissionSettings {
    /// Checks the values; `key` names their section in errors.
    ///
    /// # Errors
    /// The key that is out of its range.
    pub fn validate(&self, key: &str) -> Result<(), ConfigError> {
        let limits = self.min_limit as u64..=self.max_limit as u64;
        let keys = [
            ("min_limit", self.min_limit as u64, 1..=1_000_000),
            ("max_limit", self.max_limit as u64, 1..=1_000_000),
            ("initial_limit", self.initial_limit as u64, limits),
            ("max_queue", self.max_queue as u64, 0..=100_000),
            ("max_wait_ms", self.max_wait_ms, 1..=60_000),
            ("max_hold_ms", self.max_hold_ms, 100..=3_600_000),
        ];
        for (name, value, range) in keys {
            if !range.contains(&value) {
                let (low, high) = range.into_inner();
                let problem = format!("expected {low} to {high}, got {value}");
                let key = format!("{key}.{name}");
                return Err(ConfigError::effective(&key, problem));
            }
        }
        Ok(())
    }

    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }

    pub(crate) fn max_hold(&self) -> Duration {
        Duration::from_millis(self.max_hold_ms)
    }
}
