//! The keys under `[authentication]`.

mod issuer;
mod opaque;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rpc::config::{ConfigError, MAX_NUMBER, check_numbers};
use serde::Deserialize;

use crate::fetch::basic;
use crate::identity::is_of_processes;

pub use issuer::{IssuerSettings, TokenType};
pub use opaque::{
    CertificateRule, CertificateSettings, IntrospectionSettings, KeySettings, RevocationSettings,
};

/// The section of the keys.
pub(crate) const SECTION: &str = "authentication";

/// Largest tolerated difference of clocks, in milliseconds.
const MAX_SKEW_MS: u64 = 300_000;

/// Longest time for which a stream may outlive its credential, in milliseconds.
const MAX_GRACE_MS: u64 = 30_000;

/// Longest use of an answer about an opaque token, in milliseconds.
const MAX_INTROSPECTED_MS: u64 = 300_000;

/// The keys under `[authentication]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthenticationSettings {
    /// Audiences of tokens, for issuers without their own.
    pub audiences: Vec<String>,
    /// Tolerated difference of clocks, in milliseconds.
    pub skew_ms: u64,
    /// How long a stream may outlive its credential, in milliseconds.
    pub stream_grace_ms: u64,
    /// This API as its callers know it (`resource`, RFC 9728 §2); empty for none.
    pub resource: String,
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
    /// The header of API keys.
    pub key_header: String,
    /// API keys.
    pub keys: Vec<KeySettings>,
    /// TOML file with further API keys; empty for none.
    pub keys_file: PathBuf,
    /// Interval at which the file is read, in milliseconds.
    pub keys_reload_ms: u64,
    /// Issuers of tokens, by name.
    pub issuer: BTreeMap<String, IssuerSettings>,
    /// The issuer of opaque tokens.
    pub introspection: IntrospectionSettings,
    /// Callers that a certificate names.
    pub certificates: CertificateSettings,
    /// The list of revoked credentials.
    pub revocations: RevocationSettings,
}

// === impl AuthenticationSettings ===

impl AuthenticationSettings {
    /// Returns whether any credential is accepted.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty() || self.has_keys() || self.certificates.accept
    }

    /// Returns the settings of a process that accepts no credential.
    #[must_use]
    pub fn off(&self) -> Self {
        let mut off = self.clone();
        off.issuer.clear();
        off.keys.clear();
        off.keys_file.clear();
        off.introspection.url.clear();
        off.certificates.accept = false;
        off
    }

    /// Returns whether keys may be known: from the configuration, or to the issuer that is asked.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
            || !self.keys_file.as_os_str().is_empty()
            || !self.introspection.url.is_empty()
    }

    /// Returns the header of API keys.
    ///
    /// # Errors
    /// A text that is not the name of a header.
    pub fn key_header(&self) -> Result<HeaderName, ConfigError> {
        let name = HeaderName::from_lowercase(self.key_header.as_bytes());
        name.map_err(|_| refuse("key_header", "expected a header name in lower case"))
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
                ("keys_reload_ms", self.keys_reload_ms, MAX_NUMBER),
                (
                    "introspection.cache_ms",
                    self.introspection.cache_ms,
                    MAX_INTROSPECTED_MS,
                ),
                (
                    "revocations.interval_ms",
                    self.revocations.interval_ms,
                    MAX_NUMBER,
                ),
                ("max_cached_bytes", self.max_cached_bytes as u64, MAX_NUMBER),
            ],
        )?;
        if self.skew_ms > MAX_SKEW_MS {
            let problem = format!("expected 0 to {MAX_SKEW_MS}, got {}", self.skew_ms);
            return Err(refuse("skew_ms", &problem));
        }
        if self.stream_grace_ms > MAX_GRACE_MS {
            let problem = format!("expected 0 to {MAX_GRACE_MS}, got {}", self.stream_grace_ms);
            return Err(refuse("stream_grace_ms", &problem));
        }
        self.key_header()?;
        if !self.introspection.url.is_empty() && self.introspection.subject_claim.is_empty() {
            return Err(refuse("introspection.subject_claim", "expected a claim"));
        }
        for (index, rule) in self.certificates.rules.iter().enumerate() {
            if rule.is_open() {
                let key = format!("certificates.rules[{index}]");
                return Err(refuse(&key, "expected `uri`, `dns` or `subject`"));
            }
            if let Some(role) = rule.roles.iter().find(|role| is_of_processes(role)) {
                let key = format!("certificates.rules[{index}].roles");
                let problem = format!("`{role}` is a role that only processes of the mesh have");
                return Err(refuse(&key, &problem));
            }
        }
        self.validate_issuers()
    }

    fn validate_issuers(&self) -> Result<(), ConfigError> {
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

/// Returns a file, if one is named.
pub(crate) fn named(file: &Path) -> Option<&Path> {
    Some(file).filter(|file| !file.as_os_str().is_empty())
}

/// Reads the secret of a client from its file, and returns its credential.
///
/// # Errors
/// A file that can't be read.
pub(crate) fn client(table: &str, id: &str, file: &Path) -> Result<HeaderValue, ConfigError> {
    match std::fs::read_to_string(file) {
        Ok(secret) => Ok(basic(id, secret.trim())),
        Err(error) => {
            let problem = format!("{}: {error}", file.display());
            Err(refuse(&format!("{table}.client_secret_file"), &problem))
        }
    }
}

/// Returns the error about a key of the section.
pub(crate) fn refuse(key: &str, problem: &str) -> ConfigError {
    ConfigError::effective(format!("{SECTION}.{key}"), problem)
}
