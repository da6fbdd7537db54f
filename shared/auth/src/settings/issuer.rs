//! `[authentication.issuer.NAME]`: an issuer of tokens.

use std::path::PathBuf;

use rpc::config::ConfigError;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer};

use super::refuse;
use crate::fetch::Location;
use crate::token::{Algorithm, ClaimPaths};

/// An issuer of JSON Web Tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The issuer as its tokens name it (`iss`).
    pub url: String,
    /// The accepted audiences; by default those of the section.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The accepted algorithms.
    #[serde(default = "default_algorithms", deserialize_with = "list")]
    pub algorithms: Vec<Algorithm>,
    /// URL or file of the keys; by default the issuer is asked where they are.
    #[serde(default)]
    pub jwks: String,
    /// The accepted types of tokens.
    #[serde(default)]
    pub token_type: TokenType,
    /// PEM file of the authorities of the issuer's certificate; by default those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Whether keys may be fetched without TLS from another machine.
    #[serde(default)]
    pub allow_http: bool,
    /// The claim with the subject.
    #[serde(default = "default_subject")]
    pub subject_claim: String,
    /// The claim with the tenant; empty for none.
    #[serde(default)]
    pub tenant_claim: String,
    /// The claims with roles.
    #[serde(default = "default_roles")]
    pub role_claims: Vec<String>,
    /// The claims with scopes.
    #[serde(default = "default_scopes")]
    pub scope_claims: Vec<String>,
}

/// The accepted types of tokens (`typ`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TokenType {
    /// Access tokens (RFC 9068), and those of issuers that say `JWT` or nothing.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// Access tokens by RFC 9068 only.
    #[serde(rename = "at+jwt")]
    AccessToken,
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256]
}

/// Reads a list, or a text with commas: an environment variable has no other form.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<Algorithm>),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::List(all) => Ok(all),
        Form::Text(text) => {
            let names = text.split(',').map(|name| name.trim().into_deserializer());
            names.map(Algorithm::deserialize).collect()
        }
    }
}

fn default_subject() -> String {
    "sub".to_owned()
}

fn default_roles() -> Vec<String> {
    vec!["roles".to_owned()]
}

fn default_scopes() -> Vec<String> {
    vec!["scope".to_owned(), "scp".to_owned()]
}

// === impl IssuerSettings ===

impl IssuerSettings {
    pub(super) fn validate(&self, name: &str, audiences: &[String]) -> Result<(), ConfigError> {
        let key = |key: &str| format!("issuer.{name}.{key}");
        if self.url.is_empty() {
            return Err(refuse(&key("url"), "expected the issuer of the tokens"));
        }
        if self.audiences.is_empty() && audiences.is_empty() {
            let problem = "expected an audience, here or in `authentication.audiences`: \
                without one, tokens for any other API would be accepted";
            return Err(refuse(&key("audiences"), problem));
        }
        if self.algorithms.is_empty() {
            return Err(refuse(&key("algorithms"), "expected at least one"));
        }
        if self.subject_claim.is_empty() {
            return Err(refuse(&key("subject_claim"), "expected a claim"));
        }
        let (place, source) = match self.jwks.is_empty() {
            true => (key("url"), &self.url),
            false => (key("jwks"), &self.jwks),
        };
        let location = Location::parse(source, self.allow_http);
        let location = location.map_err(|problem| refuse(&place, &problem))?;
        match (&location, self.jwks.is_empty()) {
            (Location::File(_), true) => {
                let problem = "expected a URL, or else the keys in `jwks`";
                Err(refuse(&place, problem))
            }
            _ => Ok(()),
        }
    }

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

// === impl TokenType ===

impl TokenType {
    /// Returns whether a token of this type is accepted (RFC 9068 §4).
    pub(crate) fn accepts(self, kind: Option<&str>) -> bool {
        match self {
            Self::AccessToken => kind == Some("at+jwt"),
            Self::Any => matches!(kind, None | Some("jwt" | "at+jwt")),
        }
    }
}
