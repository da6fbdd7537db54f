//! Clients and API keys, and the rights of what they get.

use chrono::{DateTime, Utc};

use super::refusal::Refusal;

/// The scope of clients that may ask about credentials of others.
pub const INTROSPECT: &str = "introspect";

/// Beginning of the roles that stand for processes of the mesh.
const RESERVED: &str = "mesh.process";

/// Roles, scopes and tenant of a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The roles.
    pub roles: Vec<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The tenant; empty for none.
    pub tenant: String,
}

/// A program that gets tokens for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The ID, the subject of its tokens.
    pub id: String,
    /// The most that its tokens may do.
    pub rights: Rights,
    /// Time of its creation.
    pub created_at: DateTime<Utc>,
    /// Time at which it was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The ID, with which the key begins.
    pub id: String,
    /// The caller that the key stands for.
    pub subject: String,
    /// The rights of the caller.
    pub rights: Rights,
    /// Time of its creation.
    pub created_at: DateTime<Utc>,
    /// Time after which it proves nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// Time at which it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

// === impl Rights ===

impl Rights {
    /// Returns the part that a token request asks for: `scope` (RFC 6749 §3.3) and `roles`, names
    /// separated by spaces; all of what it does not name.
    ///
    /// # Errors
    /// A name that the client does not have.
    pub fn narrowed(&self, scope: Option<&str>, roles: Option<&str>) -> Result<Self, Refusal> {
        Ok(Self {
            roles: part(&self.roles, roles)?,
            scopes: part(&self.scopes, scope)?,
            tenant: self.tenant.clone(),
        })
    }

    /// Returns whether the scope is among these.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

fn part(own: &[String], asked: Option<&str>) -> Result<Vec<String>, Refusal> {
    let Some(asked) = asked else {
        return Ok(own.to_vec());
    };
    let mut part: Vec<String> = Vec::new();
    for name in asked.split_ascii_whitespace() {
        if !own.iter().any(|own| own == name) {
            return Err(Refusal::InvalidScope);
        }
        if !part.iter().any(|known| known == name) {
            part.push(name.to_owned());
        }
    }
    Ok(part)
}

// === impl ApiKey ===

impl ApiKey {
    /// Returns whether the key proves something now.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Checks roles that are to be granted; returns the first that stands for processes.
///
/// # Errors
/// The role.
pub fn check_roles(roles: &[String]) -> Result<(), &str> {
    match roles.iter().find(|role| role.starts_with(RESERVED)) {
        Some(role) => Err(role),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_token_has_a_part_of_the_rights_of_its_client() {
        let rights = Rights {
            roles: names("clerk finance"),
            scopes: names("read write"),
            tenant: "acme".to_owned(),
        };
        assert_eq!(rights.narrowed(None, None), Ok(rights.clone()));
        let part = rights.narrowed(Some("write write"), Some("")).unwrap();
        assert_eq!(part.scopes, names("write"));
        assert!(part.roles.is_empty());
        assert_eq!(part.tenant, "acme");
        for (scope, roles) in [(Some("admin"), None), (None, Some("clerk admin"))] {
            assert_eq!(rights.narrowed(scope, roles), Err(Refusal::InvalidScope));
        }
    }

    #[test]
    fn roles_of_processes_are_reserved() {
        assert_eq!(check_roles(&names("clerk mesh.operator")), Ok(()));
        for role in ["mesh.process", "mesh.process.orders"] {
            assert_eq!(check_roles(&names(role)), Err(role));
        }
    }
}
