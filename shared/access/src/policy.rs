//! The compiled rule of one method.

use auth::Identity;
use contract::{Access, Callers};

use crate::denial::Denial;

/// The compiled rule of one method.
#[derive(Debug)]
pub struct Policy {
    access: Access,
}

// === impl Policy ===

impl Policy {
    /// Compiles a rule.
    ///
    /// # Errors
    /// A condition, which can't be compiled yet.
    pub(crate) fn new(access: Access) -> Result<Self, String> {
        match access.condition {
            None => Ok(Self { access }),
            Some(_) => Err("has a `condition`, which is not supported".to_owned()),
        }
    }

    /// Creates a policy without a condition.
    pub const fn of(callers: Callers) -> Self {
        let access = Access {
            callers,
            condition: None,
        };
        Self { access }
    }

    /// Returns the rule that it was compiled from.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Decides by the caller alone.
    ///
    /// # Errors
    /// What the caller lacks.
    pub fn admit(&self, identity: Option<&Identity>) -> Result<(), Denial> {
        let (roles, scopes) = match (&self.access.callers, identity) {
            (Callers::Public, _) | (Callers::Authenticated, Some(_)) => return Ok(()),
            (_, None) => return Err(Denial::CredentialsRequired),
            (Callers::Granted { roles, scopes }, Some(identity)) => {
                ((roles, &identity.roles), (scopes, &identity.scopes))
            }
        };
        let (wanted, own) = roles;
        if !wanted.is_empty() && !wanted.iter().any(|role| own.contains(&**role)) {
            let any_of = wanted.clone();
            return Err(Denial::MissingRole { any_of });
        }
        let (wanted, own) = scopes;
        if wanted.iter().all(|scope| own.contains(&**scope)) {
            return Ok(());
        }
        let missing = wanted.iter().filter(|scope| !own.contains(&***scope));
        Err(Denial::MissingScope {
            missing: missing.cloned().collect(),
        })
    }
}
