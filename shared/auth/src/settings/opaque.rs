//! Settings of API keys, introspection, certificates and revocations.

use std::path::PathBuf;

use serde::Deserialize;

use crate::token::ClaimPaths;

/// An API key, of which only the digest is known: an item of `[[authentication.keys]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// The beginning of the key, which names it in logs and revocations.
    pub prefix: String,
    /// SHA-256 of the whole key, in hexadecimal.
    pub sha256: String,
    /// The caller.
    pub subject: String,
    /// Its tenant.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The time after which it proves nothing (RFC 3339).
    #[serde(default)]
    pub expires: Option<String>,
}

/// The keys under `[authentication.introspection]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionSettings {
    /// The endpoint; empty for none.
    pub url: String,
    /// The name by which this process asks.
    pub client_id: String,
    /// File with its secret.
    pub client_secret_file: PathBuf,
    /// The issuer of tokens whose answer names none; by default the URL.
    pub issuer: String,
    /// How long an answer is used, in milliseconds.
    pub cache_ms: u64,
    /// PEM file of the authorities of the endpoint's certificate; empty for those of the system.
    pub ca: PathBuf,
    /// Whether another machine may be asked without TLS.
    pub allow_http: bool,
    /// The claim with the subject.
    pub subject_claim: String,
    /// The claim with the tenant; empty for none.
    pub tenant_claim: String,
    /// The claims with roles.
    pub role_claims: Vec<String>,
    /// The claims with scopes.
    pub scope_claims: Vec<String>,
}

/// The keys under `[authentication.certificates]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// Whether a client certificate alone is a credential.
    pub accept: bool,
    /// The rights of callers; the first rule that fits counts.
    pub rules: Vec<CertificateRule>,
}

/// Tenant, roles and scopes of the certificates that fit all patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateRule {
    /// Pattern of an alternative name that is a URI.
    pub uri: Option<String>,
    /// Pattern of an alternative name that is a DNS name.
    pub dns: Option<String>,
    /// Pattern of the distinguished name.
    pub subject: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// The scopes.
    pub scopes: Vec<String>,
}

/// The keys under `[authentication.revocations]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationSettings {
    /// URL or file of the list; empty for none.
    pub list: String,
    /// Interval at which it is read, in milliseconds.
    pub interval_ms: u64,
    /// The name by which this process asks for it; empty for none.
    pub client_id: String,
    /// File with its secret.
    pub client_secret_file: PathBuf,
    /// PEM file of the authorities of its server's certificate; empty for those of the system.
    pub ca: PathBuf,
    /// Whether it may come from another machine without TLS.
    pub allow_http: bool,
}

// === impl IntrospectionSettings ===

impl IntrospectionSettings {
    /// Returns the claims that an identity is made of.
    pub(crate) fn claim_paths(&self) -> ClaimPaths {
        ClaimPaths {
            subject: self.subject_claim.clone(),
            tenant: self.tenant_claim.clone(),
            roles: self.role_claims.clone(),
            scopes: self.scope_claims.clone(),
        }
    }
}

// === impl CertificateRule ===

impl CertificateRule {
    /// Returns whether the rule names no certificate at all.
    pub(crate) fn is_open(&self) -> bool {
        self.uri.is_none() && self.dns.is_none() && self.subject.is_none()
    }
}
