//! The claims of the token, and the identities that they stand for.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::identity::{Credential, Identity, PROCESS_ROLE, is_of_processes};

/// The issuer of processes that call on their own behalf.
const PROCESS_ISSUER: &str = "mesh";

/// The type of the token (RFC 8725 §3.11), so that no other token that the key signs is one.
pub(super) const TYPE: &str = "mesh-identity+jwt";
/// Longest life of a token, in seconds.
pub(super) const LIFE_S: u64 = 60;
/// Difference of two clocks that is tolerated, in seconds.
pub(super) const SKEW_S: u64 = 5;

/// The claims of RFC 7519 and RFC 8693, and those of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CallClaims {
    /// The calling process.
    pub(super) iss: String,
    /// The full name of the called gRPC service: both sides know it from the path.
    pub(super) aud: String,
    /// The path of the called method.
    pub(super) method: String,
    pub(super) iat: u64,
    pub(super) exp: u64,
    /// The calling process again, as the one who acts for the subject.
    pub(super) act: Actor,
    /// Whether the call is its caller's, passed on as it came; otherwise the process has decided to
    /// make it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) forwarded: bool,
    /// On whose behalf; `None` for an anonymous caller.
    #[serde(flatten)]
    pub(super) subject: Option<Subject>,
}

/// The actor of RFC 8693 §4.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Actor {
    pub(super) sub: String,
}

/// An [`Identity`] as claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    sub: String,
    /// The authority that vouches for `sub`.
    sub_iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    roles: BTreeSet<String>,
    /// Separated by spaces (RFC 8693 §4.2).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    sub_cred: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_cred_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub_exp: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Token,
    Key,
    Certificate,
    Process,
}

// === impl CallClaims ===

impl CallClaims {
    /// Returns whom the call is from, with the roles of the process if it has decided to call.
    pub(super) fn identity(&self) -> Option<Identity> {
        let mut identity = self.subject.as_ref()?.identity();
        if !self.forwarded {
            let own = format!("{PROCESS_ROLE}.{}", self.iss);
            identity.roles.extend([PROCESS_ROLE.to_owned(), own]);
        }
        Some(identity)
    }
}

// === impl Subject ===

impl Subject {
    /// Returns a process on its own behalf.
    pub(super) fn process(name: &str) -> Self {
        Self {
            sub: name.to_owned(),
            sub_iss: PROCESS_ISSUER.to_owned(),
            tenant: None,
            roles: BTreeSet::new(),
            scope: String::new(),
            sub_cred: Kind::Process,
            sub_cred_id: None,
            sub_exp: None,
        }
    }

    pub(super) fn of(identity: &Identity) -> Self {
        let scopes: Vec<&str> = identity.scopes.iter().map(String::as_str).collect();
        Self {
            sub: identity.subject.clone(),
            sub_iss: identity.issuer.clone(),
            tenant: identity.tenant.clone(),
            roles: without_processes(&identity.roles),
            scope: scopes.join(" "),
            sub_cred: match identity.credential {
                Credential::Token => Kind::Token,
                Credential::Key => Kind::Key,
                Credential::Certificate => Kind::Certificate,
                Credential::Process => Kind::Process,
            },
            sub_cred_id: identity.credential_id.clone(),
            sub_exp: identity.expires.map(seconds),
        }
    }

    fn identity(&self) -> Identity {
        Identity {
            issuer: self.sub_iss.clone(),
            subject: self.sub.clone(),
            tenant: self.tenant.clone(),
            roles: without_processes(&self.roles),
            scopes: self.scope.split_whitespace().map(str::to_owned).collect(),
            credential: match self.sub_cred {
                Kind::Token => Credential::Token,
                Kind::Key => Credential::Key,
                Kind::Certificate => Credential::Certificate,
                Kind::Process => Credential::Process,
            },
            credential_id: self.sub_cred_id.clone(),
            expires: self.sub_exp.and_then(at),
        }
    }
}

/// Drops the roles that only the mesh gives: an issuer outside could make them up, and those of an
/// earlier caller end with its call.
fn without_processes(roles: &BTreeSet<String>) -> BTreeSet<String> {
    let is_given = |role: &&String| !is_of_processes(role);
    roles.iter().filter(is_given).cloned().collect()
}

/// Returns a time as Unix seconds, which tokens have.
pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn at(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Returns the gRPC service of the path of a method, without its slash.
pub(super) fn service_of(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}
