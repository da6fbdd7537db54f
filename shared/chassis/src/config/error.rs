//! What is wrong with a key.

use config::Config;

use super::{built_in, origin};

/// A key with an unusable value, or an unknown key. The process exits with 64 (`EX_USAGE` of sysexits).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("configuration key `{key}`: {problem} (from {origin})")]
pub struct ConfigError {
    /// Dotted path of the key.
    pub key: String,
    /// What was expected and what was found.
    pub problem: String,
    /// The file, variable or flag that set it.
    pub origin: String,
}

// === impl ConfigError ===

impl ConfigError {
    /// Creates an error for a value that a process refuses after parsing.
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

    pub(super) fn from_library(error: config::ConfigError, merged: Option<&Config>) -> Self {
        use config::ConfigError as Library;
        match error {
            Library::Type {
                unexpected,
                expected,
                key,
                origin: known,
            } => {
                let key = key.unwrap_or_default();
                let origin = known.unwrap_or_else(|| origin(merged, &key));
                Self::new(
                    key,
                    format!("expected {expected}, got {unexpected}"),
                    origin,
                )
            }
            Library::At { error, key, .. } => {
                let key = key.unwrap_or_default();
                let origin = origin(merged, &key);
                Self::new(key, error.to_string(), origin)
            }
            Library::NotFound(key) => Self::new(key, "expected a value, got none", "no source"),
            Library::FileParse { uri, cause } => {
                Self::new("*", cause.to_string(), uri.unwrap_or_else(built_in))
            }
            other => Self::new("*", other.to_string(), "the configuration"),
        }
    }
}
