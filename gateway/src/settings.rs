//! Errors about configuration keys, in one form for all modules that have settings.

use chassis::config::ConfigError;

/// Rejects the value of a key.
pub(crate) fn reject_key(key: &str, problem: &str) -> Result<(), ConfigError> {
    Err(key_error(key, problem))
}

/// Returns the error about the value of a key.
pub(crate) fn key_error(key: &str, problem: &str) -> ConfigError {
    ConfigError::effective(key, problem)
}
