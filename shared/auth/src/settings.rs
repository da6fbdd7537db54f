//! The keys under `[authentication]`.

mod issuer;

use std::collections::BTreeMap;
use std::time::Duration;

use rpc::config::{ConfigError, MAX_NUMBER, check_numbers};
use serde::Deserialize;

pub use issuer::{IssuerSettings, TokenType};

/// The section of the keys.
pub(crate) const SECTION: &str = "authentication";

/// Largest tolerated difference of clocks, in milliseconds.
const MAX_SKEW_MS: u64 = 300_000;

/// The keys under `[authentication]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthenticationSettings {
    /// Audiences of tokens, for issuers without their own.
    pub audiences: Vec<String>,
    /// Tolerated difference of clocks, in milliseconds.
    pub skew_ms: u64,
    /// Whether upstreams receive the credential of the caller.
    pub forward_credentials: bool,
    /// Interval at which the keys of an issuer are fetched, in milliseconds.
    pub jwks_refresh_ms: u64,
    /// Age from which keys of an issuer that is away are not used, in milliseconds.
    pub jwks_max_age_ms: u64,
    /// Shortest pause between two fetches because of unknown keys, in milliseconds.
    pub jwks_pause_ms: u64,
    /// Limit of a request to an issuer, in milliseconds.
    pub fetch_timeout_ms: u64,
    /// Memory for verified credentials, in bytes.
    pub max_cached_bytes: usize,
    /// Issuers of tokens, by name.
    pub issuer: BTreeMap<String, IssuerSettings>,
}

// === impl AuthenticationSettings ===

impl AuthenticationSettings {
    /// Returns whether any credential is accepted.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// Returns the settings of a process that accepts no credential.
    #[must_use]
    pub fn off(&self) -> Self {
        Self {
            issuer: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first key that does not fit.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_numbers(
            "authentication.",
            &[
                ("jwks_refresh_ms", self.jwks_refresh_ms, MAX_NUMBER),
                ("jwks_max_age_ms", self.jwks_max_age_ms, MAX_NUMBER),
                ("jwks_pause_ms", self.jwks_pause_ms, MAX_NUMBER),
                ("fetch_timeout_ms", self.fetch_timeout_ms, MAX_NUMBER),
                ("max_cached_bytes", self.max_cached_bytes as u64, MAX_NUMBER),
            ],
        )?;
        if self.skew_ms > MAX_SKEW_MS {
            let problem = format!("expected 0 to {MAX_SKEW_MS}, got {}", self.skew_ms);
            return Err(refuse("skew_ms", &problem));
        }
        for (name, issuer) in &self.issuer {
            issuer.validate(name, &self.audiences)?;
            let twice =
                |(other, its): &(&String, &IssuerSettings)| *other != name && its.url == issuer.url;
            if let Some((other, _)) = self.issuer.iter().find(twice) {
                let problem = format!("`{other}` has the same issuer");
                return Err(refuse(&format!("issuer.{name}.url"), &problem));
            }
        }
        Ok(())
    }

    /// Returns the tolerated difference of clocks.
    pub(crate) fn skew(&self) -> Duration {
        Duration::from_millis(self.skew_ms)
    }

    /// Returns the limit of a request to an issuer.
    pub(crate) fn fetch_timeout(&self) -> Duration {
        Duration::from_millis(self.fetch_timeout_ms)
    }
}

/// Returns the error about a key of the section.
pub(crate) fn refuse(key: &str, problem: &str) -> ConfigError {
    ConfigError::effective(format!("{SECTION}.{key}"), problem)
}
