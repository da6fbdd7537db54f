//! Errors about configuration keys, in one form for all modules that have settings.

use chassis::config::ConfigError;

/// Refuses the value of a key.
pub(crate) fn refuse(key: &str, problem: &str) -> Result<(), ConfigError> {
    Err(refused(key, problem))
}

/// The error about the value of a key.
pub(crate) fn refused(key: &str, problem: &str) -> ConfigError {
    ConfigError::new(key, problem, "the effective configuration")
}
