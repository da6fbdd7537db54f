//! The keys under `[identity]`: who this process is to others, and which others it believes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use auth::internal::{Signer, TrustedKeys, Verifier};
use rpc::config::ConfigError;
use serde::Deserialize;

/// The keys under `[identity]`; `config.default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
pub struct IdentitySettings {
    /// The name of this process to others; empty for that of its program.
    pub name: String,
    /// Whether calls to other services are signed.
    pub sign: bool,
    /// File of the key; empty for a key that only this process has.
    pub key_file: PathBuf,
    /// Interval at which an own key is replaced, in milliseconds.
    pub rotate_ms: u64,
    /// The believed processes, each as `NAME=PLACE` of its JWK set: a file or a URL.
    pub trusted: Vec<String>,
    /// File of the trust anchors of URLs; empty for those of the system.
    pub ca_file: PathBuf,
    /// Whether calls without the identity of a trusted process are refused.
    pub required: bool,
    /// Whether the contract's rules of access are enforced.
    pub enforce_access: bool,
    /// Interval at which files are read again, in milliseconds.
    pub refresh_interval_ms: u64,
}

// === impl IdentitySettings ===

impl IdentitySettings {
    /// Checks what does not need the files.
    ///
    /// # Errors
    /// The first key that does not fit.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("identity.rotate_ms", self.rotate_ms),
            ("identity.refresh_interval_ms", self.refresh_interval_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::effective(
                    key,
                    "expected a number above 0, got 0",
                ));
            }
        }
        if !self.sign && !self.key_file.as_os_str().is_empty() {
            let problem = "expected true, as `identity.key_file` has a file";
            return Err(ConfigError::effective("identity.sign", problem));
        }
        if self.enforce_access && self.trusted.is_empty() {
            let problem =
                "expected a process, as `identity.enforce_access` judges the callers that it names";
            return Err(ConfigError::effective("identity.trusted", problem));
        }
        if self.required && self.trusted.is_empty() {
            let problem = "expected a process, as `identity.required` refuses calls of all others";
            return Err(ConfigError::effective("identity.trusted", problem));
        }
        self.processes().map(drop)
    }

    /// Returns who signs the calls of the process of this program; `None` if they are not signed.
    ///
    /// # Errors
    /// The key whose file can't be used.
    pub fn signer(&self, program: &str) -> Result<Option<Signer>, ConfigError> {
        if !self.sign {
            return Ok(None);
        }
        let name = match self.name.as_str() {
            "" => program,
            name => name,
        };
        let signer = match self.key_file.as_os_str().is_empty() {
            true => Signer::new(name),
            false => Signer::from_file(name, self.key_file.clone()),
        };
        let refuse = |error| ConfigError::effective("identity.key_file", format!("{error}"));
        signer.map(Some).map_err(refuse)
    }

    /// Returns the interval at which a signer is rotated: an own key is replaced, a file read.
    pub fn rotation(&self, signer: &Signer) -> Duration {
        Duration::from_millis(match signer.has_own_key() {
            true => self.rotate_ms,
            false => self.refresh_interval_ms,
        })
    }

    /// Returns the interval at which the keys of others are read.
    pub(crate) fn refresh_interval(&self) -> Duration {
        Duration::from_millis(self.refresh_interval_ms)
    }

    /// Returns who checks the callers; `None` if no process is trusted.
    pub(crate) fn verifier(&self) -> Result<Option<Verifier>, ConfigError> {
        let trusted = self.processes()?;
        if trusted.is_empty() {
            return Ok(None);
        }
        let ca = Some(self.ca_file.as_path()).filter(|file| !file.as_os_str().is_empty());
        let keys = trusted.into_iter().map(|(name, place)| {
            let keys = TrustedKeys::at(place, ca);
            let refuse = |problem| ConfigError::effective("identity.trusted", problem);
            Ok((name.to_owned(), keys.map_err(refuse)?))
        });
        let keys: Result<Vec<_>, ConfigError> = keys.collect();
        Ok(Some(Verifier::new(keys?)))
    }

    fn processes(&self) -> Result<Vec<(&str, &str)>, ConfigError> {
        let mut names = BTreeSet::new();
        let parsed = self.trusted.iter().map(|item| {
            let refuse = |problem: &str| {
                let problem = format!("expected NAME=PLACE, got `{item}`{problem}");
                ConfigError::effective("identity.trusted", problem)
            };
            let (name, place) = item.split_once('=').ok_or_else(|| refuse(""))?;
            if name.is_empty() || place.is_empty() {
                return Err(refuse(""));
            }
            if !names.insert(name) {
                return Err(refuse(", which names a process twice"));
            }
            Ok((name, place))
        });
        parsed.collect()
    }
}
