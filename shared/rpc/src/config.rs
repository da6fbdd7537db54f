//! The error of a setting, which each crate reports for the settings that it owns.

/// Largest accepted number of a setting: larger ones are typing errors (a year in milliseconds is
/// 3.2e10).
pub const MAX_NUMBER: u64 = 100_000_000_000;

/// An unknown configuration key, or one with an invalid value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("configuration key `{key}`: {problem} (from {origin})")]
pub struct ConfigError {
    /// Dotted path of the key.
    pub key: String,
    /// The expected and the actual value.
    pub problem: String,
    /// The file, variable or flag that set it.
    pub origin: String,
}

// === impl ConfigError ===

impl ConfigError {
    /// Creates an error for a value that is rejected after parsing.
    pub fn new(
        key: impl Into<String>,
        problem: impl Into<String>,
        origin: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            origin: origin.into(),
        }
    }

    /// Creates an error for a value of the effective configuration, whichever source it came from.
    pub fn effective(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::new(key, problem, "the effective configuration")
    }
}

/// Checks numbers `(key, value, most)`: each is from 1 to its bound. `prefix` is what comes before
/// the keys in the configuration, with its dot.
///
/// # Errors
/// The first number out of its range.
pub fn check_numbers(prefix: &str, numbers: &[(&str, u64, u64)]) -> Result<(), ConfigError> {
    let is_wrong = |(_, value, most): &&(&str, u64, u64)| *value == 0 || value > most;
    match numbers.iter().find(is_wrong) {
        None => Ok(()),
        Some((key, value, most)) => {
            let problem = format!("expected a number from 1 to {most}, got {value}");
            let key = format!("{prefix}{key}");
            Err(ConfigError::new(key, problem, "the configuration"))
        }
    }
}
