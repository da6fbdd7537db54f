//! Settings of the runner.

use std::time::Duration;

use chassis::config::{ConfigError, MAX_NUMBER, check_numbers};
use serde::Deserialize;

/// Leases are this many step timeouts: long enough that a running batch is not claimed again, short
/// enough that the sagas of a dead process resume soon.
const LEASE_STEPS: u32 = 3;
/// Largest accepted batch: one call and one transaction carry all of it.
const MAX_BATCH: u64 = 1_000;

/// Settings of a runner; every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Most instances in one call and one transaction. 128.
    pub batch: usize,
    /// Timeout of a step's call, in milliseconds. 5,000.
    pub step_timeout_ms: u64,
    /// Attempts without an answer after which an instance needs an operator. 2,000: with pauses of
    /// up to 15 s, about four hours.
    pub max_attempts: u32,
    /// Seconds for which ended instances and their log are kept. 30 days.
    pub keep_ended_s: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 128,
            step_timeout_ms: 5_000,
            max_attempts: 2_000,
            keep_ended_s: 30 * 24 * 3_600,
        }
    }
}

impl Settings {
    /// Rejects settings with which the runner would start and do nothing. `section` is the
    /// configuration's name for them.
    ///
    /// # Errors
    /// Names the key and its range.
    pub fn check(&self, section: &str) -> Result<(), ConfigError> {
        let numbers = [
            ("batch", self.batch as u64, MAX_BATCH),
            ("step_timeout_ms", self.step_timeout_ms, MAX_NUMBER),
            ("max_attempts", u64::from(self.max_attempts), MAX_NUMBER),
            ("keep_ended_s", self.keep_ended_s, MAX_NUMBER),
        ];
        check_numbers(&format!("{section}."), &numbers)
    }

    /// Timeout of a step's call.
    pub fn step_timeout(&self) -> Duration {
        Duration::from_millis(self.step_timeout_ms)
    }

    pub(crate) fn lease(&self) -> Duration {
        self.step_timeout() * LEASE_STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_can_not_be_meant_names_its_key() {
        let key = |settings: Settings| settings.check("sagas").err().map(|error| error.key);
        assert_eq!(key(Settings::default()), None);
        let none = Settings {
            batch: 0,
            ..Settings::default()
        };
        assert_eq!(key(none).as_deref(), Some("sagas.batch"));
    }
}
