//! The identity of a caller.

use std::collections::BTreeSet;
use std::time::SystemTime;

/// The role of every process that calls another by its own decision; the role of one process is
/// this one, a dot and its name. Only the mesh gives it.
pub(crate) const PROCESS_ROLE: &str = "mesh.process";

/// A caller whose credential was verified. It travels with a request as an extension,
/// `Arc<Identity>`; a request without that extension is anonymous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The authority that vouches for the subject: the issuer of a token, or the name of another
    /// kind of authority, as configured.
    pub issuer: String,
    /// The caller's name, unique at its issuer (`sub` of a token, RFC 7519 §4.1.2).
    pub subject: String,
    /// The customer that the caller belongs to, where an issuer tells them apart.
    pub tenant: Option<String>,
    /// The roles that the issuer gives the caller.
    pub roles: BTreeSet<String>,
    /// The scopes that the credential is limited to (`scope`, RFC 6749 §3.3).
    pub scopes: BTreeSet<String>,
    /// The kind of credential.
    pub credential: Credential,
    /// The name of this very credential, by which it can be revoked (`jti`, or the ID of a key).
    pub credential_id: Option<String>,
    /// The time after which the credential proves nothing.
    pub expires: Option<SystemTime>,
}

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// A bearer token, readable or opaque.
    Token,
    /// An API key.
    Key,
    /// A client certificate of the connection.
    Certificate,
    /// The key of a process of the mesh that calls on its own behalf.
    Process,
}

/// Returns whether a role is one of processes, which no issuer and no configuration can give.
pub(crate) fn is_of_processes(role: &str) -> bool {
    role.starts_with(PROCESS_ROLE)
}

impl Identity {
    /// Returns one text that tells all identities apart, for keys of stores: issuer, tenant and
    /// subject, each with its length before it, so that no two identities have the same text.
    pub fn key(&self) -> String {
        let (issuer, subject) = (&self.issuer, &self.subject);
        let (issuers, subjects) = (issuer.len(), subject.len());
        match &self.tenant {
            None => format!("{issuers}:{issuer}-{subjects}:{subject}"),
            Some(tenant) => {
                let tenants = tenant.len();
                format!("{issuers}:{issuer}{tenants}:{tenant}{subjects}:{subject}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(issuer: &str, tenant: Option<&str>, subject: &str) -> Identity {
        Identity {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            tenant: tenant.map(str::to_owned),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            credential: Credential::Token,
            credential_id: None,
            expires: None,
        }
    }

    #[test]
    fn keys_differ_wherever_the_text_is_cut() {
        let keys: BTreeSet<_> = [
            identity("a", Some("b"), "c"),
            identity("ab", None, "c"),
            identity("a", None, "bc"),
            identity("a", Some("bc"), ""),
            identity("a1:b", None, "c"),
            identity("a", Some(""), "bc"),
        ]
        .iter()
        .map(Identity::key)
        .collect();
        assert_eq!(keys.len(), 6);
    }
}
