//! Errors of the configuration library as errors of a key.

use config::{Config, ConfigError as Library};
use rpc::config::ConfigError;

use super::{built_in, origin};

/// Names the key and its source, as far as the library or the merged configuration know them.
pub(super) fn error(error: Library, merged: Option<&Config>) -> ConfigError {
    match error {
        Library::Type {
            unexpected,
            expected,
            key,
            origin: known,
        } => {
            let key = key.unwrap_or_default();
            let origin = known.unwrap_or_else(|| origin(merged, &key));
            let problem = format!("expected {expected}, got {unexpected}");
            ConfigError::new(key, problem, origin)
        }
        Library::At { error, key, .. } => {
            let key = key.unwrap_or_default();
            let origin = origin(merged, &key);
            ConfigError::new(key, error.to_string(), origin)
        }
        Library::NotFound(key) => ConfigError::new(key, "expected a value, got none", "no source"),
        Library::FileParse { uri, cause } => {
            ConfigError::new("*", cause.to_string(), uri.unwrap_or_else(built_in))
        }
        other => ConfigError::new("*", other.to_string(), "the configuration"),
    }
}
