//! Lock files: version and hashes of everything that is fetched.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An unusable lock file.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Malformed TOML, or unknown keys.
    #[error("{file} is not valid")]
    Malformed {
        /// The lock file.
        file: &'static str,
        /// The error of the parser.
        source: toml::de::Error,
    },
    /// A missing entry.
    #[error("{file} does not name {name}")]
    Missing {
        /// The lock file.
        file: &'static str,
        /// The entry.
        name: String,
    },
}

/// The entries of one lock file.
#[derive(Debug)]
pub struct Lock {
    file: &'static str,
    pins: BTreeMap<String, Pin>,
}

/// One entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The exact version.
    pub version: String,
    /// Hashes of a Python wheel by platform, as `linux-x86_64`.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
    /// The sum of a Go module, as `go.sum` writes it.
    pub go_sum: Option<String>,
}

impl Lock {
    /// Parses the text of a lock file; errors name it as `file`.
    ///
    /// # Errors
    /// On malformed TOML and unknown keys.
    pub fn parse(file: &'static str, text: &str) -> Result<Self, LockError> {
        match toml::from_str(text) {
            Ok(pins) => Ok(Self { file, pins }),
            Err(source) => Err(LockError::Malformed { file, source }),
        }
    }

    /// Returns an entry.
    ///
    /// # Errors
    /// When there is none.
    pub fn pin(&self, name: &str) -> Result<&Pin, LockError> {
        self.pins.get(name).ok_or_else(|| LockError::Missing {
            file: self.file,
            name: name.to_owned(),
        })
    }

    /// Returns the name of the file.
    pub fn file(&self) -> &'static str {
        self.file
    }
}
