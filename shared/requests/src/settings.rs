//! Settings of a server that offers its calls, and of callers.

use std::time::Duration;

use rpc::config::{ConfigError, MAX_NUMBER, check_numbers};
use serde::Deserialize;

/// Most calls at a time that a process may be set to.
const MAX_CONCURRENT: u64 = 100_000;

/// Settings of request-reply; every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Calls that a process answers at a time; further ones end RESOURCE_EXHAUSTED at once. 256.
    pub concurrent: usize,
    /// Milliseconds after which a caller gives up a call without a deadline: a process that dies
    /// says nothing. 5 minutes.
    pub unanswered_timeout_ms: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrent: 256,
            unanswered_timeout_ms: 300_000,
        }
    }
}

impl Settings {
    /// Rejects settings with which no call could be answered. `section` is the configuration's name
    /// for them.
    ///
    /// # Errors
    /// Names the key and its range.
    pub fn check(&self, section: &str) -> Result<(), ConfigError> {
        let numbers = [
            ("concurrent", self.concurrent as u64, MAX_CONCURRENT),
            (
                "unanswered_timeout_ms",
                self.unanswered_timeout_ms,
                MAX_NUMBER,
            ),
        ];
        check_numbers(&format!("{section}."), &numbers)
    }

    pub(crate) fn unanswered_timeout(&self) -> Duration {
        Duration::from_millis(self.unanswered_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_can_not_be_meant_names_its_key() {
        let none = Settings {
            concurrent: 0,
            ..Settings::default()
        };
        let key = |settings: Settings| settings.check("requests").err().map(|error| error.key);
        assert_eq!(key(none).as_deref(), Some("requests.concurrent"));
        assert_eq!(key(Settings::default()), None);
    }
}
