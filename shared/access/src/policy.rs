//! The compiled rule of one method.

use std::sync::Arc;

use auth::Identity;
use cel::{Condition, Subject};
use contract::{Access, Callers};
use descriptors::{MethodPlan, Types};
use http::HeaderMap;

use crate::denial::Denial;

/// The compiled rule of one method.
#[derive(Debug)]
pub struct Policy {
    access: Access,
    condition: Option<Condition>,
    /// `package.Service.Method`, as conditions see it.
    method: Box<str>,
}

/// A call whose first message is known.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The caller; `None` without a credential.
    pub identity: Option<&'a Identity>,
    /// The metadata of the call, as the service gets them.
    pub metadata: &'a HeaderMap,
    /// The first request message: wire bytes without frame. A stream that ends without a message
    /// counts as one with an empty message.
    pub request: &'a [u8],
}

// === impl Policy ===

impl Policy {
    /// Compiles the rule of a method.
    ///
    /// # Errors
    /// The reason why its condition can't be compiled.
    pub(crate) fn new(
        access: Access,
        types: &Arc<Types>,
        method: &MethodPlan,
    ) -> Result<Self, String> {
        let condition = access.condition.as_deref();
        let condition = condition.map(|source| Condition::compile(source, types, method.input));
        let condition = condition.transpose();
        Ok(Self {
            condition: condition
                .map_err(|error| format!("has a `condition` that can't be compiled: {error}"))?,
            access,
            method: method
                .path()
                .trim_start_matches('/')
                .replace('/', ".")
                .into(),
        })
    }

    /// Creates a policy that is no method's.
    pub fn of(callers: Callers) -> Self {
        let access = Access {
            callers,
            condition: None,
        };
        Self {
            access,
            condition: None,
            method: "".into(),
        }
    }

    /// Returns the rule that it was compiled from.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns who is let in, in words of the contract: `roles: clerk; condition`.
    pub fn describe(&self) -> String {
        let mut rules = match &self.access.callers {
            Callers::Public => vec!["public".to_owned()],
            Callers::Authenticated => vec!["authenticated".to_owned()],
            Callers::Granted { roles, scopes } => [("roles", roles), ("scopes", scopes)]
                .into_iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(kind, names)| format!("{kind}: {}", names.join(", ")))
                .collect(),
        };
        if self.has_condition() {
            rules.push("condition".to_owned());
        }
        rules.join("; ")
    }

    /// Returns whether [`Policy::admit_message`] decides about calls that [`Policy::admit`] lets
    /// pass.
    pub fn has_condition(&self) -> bool {
        self.condition.is_some()
    }

    /// Decides by the caller alone.
    ///
    /// # Errors
    /// What the caller lacks.
    pub fn admit(&self, identity: Option<&Identity>) -> Result<(), Denial> {
        let identity = match (&self.access.callers, identity) {
            (Callers::Public, _) | (Callers::Authenticated, Some(_)) => return Ok(()),
            (_, None) => return Err(Denial::CredentialsRequired),
            (Callers::Granted { .. }, Some(identity)) => identity,
        };
        let Callers::Granted { roles, scopes } = &self.access.callers else {
            return Ok(());
        };
        if !roles.is_empty() && !roles.iter().any(|role| identity.roles.contains(&**role)) {
            let any_of = roles.clone();
            return Err(Denial::MissingRole { any_of });
        }
        let missing = scopes.iter();
        let missing = missing.filter(|scope| !identity.scopes.contains(&***scope));
        let missing: Vec<Box<str>> = missing.cloned().collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Denial::MissingScope { missing }),
        }
    }

    /// Decides by the condition, for a caller whom [`Policy::admit`] lets pass. An expression
    /// without a result, as for a key that is not there, does not hold.
    ///
    /// # Errors
    /// The condition does not hold.
    pub fn admit_message(&self, call: &Call<'_>) -> Result<(), Denial> {
        let Some(condition) = &self.condition else {
            return Ok(());
        };
        let subject = Subject {
            identity: call.identity,
            request: call.request,
            metadata: call.metadata,
            method: &self.method,
        };
        match condition.holds(&subject) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denial::ConditionNotMet { error: None }),
            Err(error) => Err(Denial::ConditionNotMet {
                error: Some(error.to_string()),
            }),
        }
    }
}
