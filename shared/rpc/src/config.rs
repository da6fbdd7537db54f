//! The error of a setting, which each crate reports for the settings that it owns.

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
