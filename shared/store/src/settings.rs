//! The keys of `[database]` in a service's configuration.

use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

/// The longest time that a setting can mean, in milliseconds: a day.
const MAX_MS: u64 = 86_400_000;

/// Timeouts of the pool and of statements, and who applies migrations. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a call waits for a connection of the pool while all are in use, in milliseconds. An
    /// outage ends calls earlier, see [`Guard`](crate::Guard).
    pub acquire_timeout_ms: u64,
    /// How long a process tries to reach the database at its start, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a statement waits for a lock, in milliseconds.
    pub lock_timeout_ms: u64,
    /// How long a statement runs, in milliseconds.
    pub statement_timeout_ms: u64,
    /// How long a transaction may be idle between statements, in milliseconds.
    pub idle_in_transaction_timeout_ms: u64,
    /// How long a connection may be silent before the server sends a TCP keep-alive, in seconds.
    /// Three that get no answer, five seconds apart, end it. sqlx offers none from this side.
    pub keepalive_s: u64,
    /// Whether a process applies its migrations at its start. Otherwise its verb `migrate` does,
    /// and it does not start on a schema that lacks one.
    pub migrate: bool,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            acquire_timeout_ms: 30_000,
            connect_timeout_ms: 30_000,
            lock_timeout_ms: 10_000,
            statement_timeout_ms: 30_000,
            idle_in_transaction_timeout_ms: 60_000,
            keepalive_s: 15,
            migrate: true,
        }
    }
}

impl Settings {
    /// Returns the first key that is out of range, with its range.
    pub(crate) fn invalid(&self) -> Option<(&'static str, String)> {
        let bounds = [
            ("acquire_timeout_ms", self.acquire_timeout_ms, MAX_MS),
            ("connect_timeout_ms", self.connect_timeout_ms, MAX_MS),
            ("lock_timeout_ms", self.lock_timeout_ms, MAX_MS),
            ("statement_timeout_ms", self.statement_timeout_ms, MAX_MS),
            (
                "idle_in_transaction_timeout_ms",
                self.idle_in_transaction_timeout_ms,
                MAX_MS,
            ),
            ("keepalive_s", self.keepalive_s, 3_600),
        ];
        bounds
            .into_iter()
            .find(|(_, value, max)| !(1..=*max).contains(value))
            .map(|(key, value, max)| {
                (
                    key,
                    format!("expected a number from 1 to {max}, got {value}"),
                )
            })
    }

    /// Adds keep-alives, which every connection gets.
    pub(crate) fn keep_alive(&self, options: PgConnectOptions) -> PgConnectOptions {
        options.options([
            ("tcp_keepalives_idle", self.keepalive_s.to_string()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
        ])
    }

    /// Adds the bounds of statements, which a migration must not have.
    pub(crate) fn bound(&self, options: PgConnectOptions) -> PgConnectOptions {
        let idle = self.idle_in_transaction_timeout_ms.to_string();
        options.options([
            ("lock_timeout", self.lock_timeout_ms.to_string()),
            ("statement_timeout", self.statement_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", idle),
        ])
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(Settings::default().invalid(), None);
    }

    #[test]
    fn a_timeout_of_zero_is_rejected_by_its_key() {
        let settings = Settings {
            lock_timeout_ms: 0,
            ..Settings::default()
        };
        let key = settings.invalid().map(|(key, _)| key);
        assert_eq!(key, Some("lock_timeout_ms"));
    }
}
