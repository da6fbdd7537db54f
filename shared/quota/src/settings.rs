//! The keys of `[limits]`, with their defaults and bounds.

use std::time::Duration;

use chassis::config::{ConfigError, check_numbers};
use serde::Deserialize;

use crate::limits::LimitTable;

/// Most subjects of the table.
const MAX_SUBJECTS: u64 = 10_000_000;
/// Most processes that share a limit.
const MAX_PROCESSES: u64 = 1000;

/// Settings of a limiter; every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Subjects of all limits that a process keeps in memory, of about 200 bytes each.
    pub max_subjects: usize,
    /// How long a lease lasts, in milliseconds: after that, the units of a process that has died
    /// are back.
    pub lease_ms: u64,
    /// Processes that share the limits: each counts its part alone while the store is away.
    pub processes: u64,
    /// The limits of methods that have none of their own.
    pub default: Vec<LimitTable>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_subjects: 100_000,
            lease_ms: 1000,
            processes: 1,
            default: Vec::new(),
        }
    }
}

impl Settings {
    /// Rejects numbers out of their range. `section` is the configuration's name for them.
    ///
    /// # Errors
    /// Names the key and its range.
    pub fn check(&self, section: &str) -> Result<(), ConfigError> {
        let numbers = [
            ("max_subjects", self.max_subjects as u64, MAX_SUBJECTS),
            ("lease_ms", self.lease_ms, 60_000),
            ("processes", self.processes, MAX_PROCESSES),
        ];
        check_numbers(&format!("{section}."), &numbers)?;
        if self.lease_ms < 100 {
            let key = format!("{section}.lease_ms");
            return Err(ConfigError::effective(key, "expected at least 100"));
        }
        LimitTable::check(&self.default).map_err(|problems| {
            ConfigError::effective(format!("{section}.default"), problems.join("; "))
        })
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}
