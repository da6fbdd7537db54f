//! The compiled rules of all methods of a contract.

use std::collections::HashMap;
use std::sync::Arc;

use auth::Identity;
use contract::{Access, Callers};
use descriptors::{AccessOption, MethodPlan, Types};

use crate::denial::Denial;
use crate::policy::Policy;

/// The compiled rules of all methods of a contract. A method without one lets nobody in.
#[derive(Debug, Default)]
pub struct Policies {
    /// By the path of the method, `/package.Service/Method`.
    rulings: HashMap<Box<str>, Ruling>,
}

/// The rule of one method, if it has one that can be read.
#[derive(Debug)]
pub enum Ruling {
    /// The contract says who may call the method.
    Ruled(Box<Policy>),
    /// The contract says nothing.
    Silent,
    /// The rule can't be read, for these reasons.
    Invalid(Vec<String>),
}

// === impl Policies ===

impl Policies {
    /// Compiles the rules that the contract of these methods has.
    pub fn of_contract<'m>(
        types: &Arc<Types>,
        methods: impl IntoIterator<Item = &'m MethodPlan>,
    ) -> Self {
        Self::compile(types, methods, |method| {
            method.access().map(AccessOption::access)
        })
    }

    /// Compiles the rules that `access` finds for these methods.
    pub fn compile<'m>(
        types: &Arc<Types>,
        methods: impl IntoIterator<Item = &'m MethodPlan>,
        mut access: impl FnMut(&MethodPlan) -> Option<Result<Access, Vec<String>>>,
    ) -> Self {
        let rulings = methods.into_iter().map(|method| {
            let ruling = match access(method) {
                None => Ruling::Silent,
                Some(Ok(access)) => Policy::new(access, types, method).into(),
                Some(Err(problems)) => Ruling::Invalid(problems),
            };
            (method.path().into(), ruling)
        });
        Self {
            rulings: rulings.collect(),
        }
    }

    /// Returns the ruling for the method at `/package.Service/Method`; a method that no descriptor
    /// has is as good as silent.
    pub fn ruling(&self, method: &str) -> &Ruling {
        self.rulings.get(method).unwrap_or(&Ruling::Silent)
    }

    /// Decides a call before its body is read.
    ///
    /// # Errors
    /// The reason why the caller is not let in.
    pub fn admit(&self, method: &str, identity: Option<&Identity>) -> Result<&Policy, Denial> {
        let policy = self.ruling(method).policy()?;
        policy.admit(identity).map(|()| policy)
    }

    /// Returns the scopes that callers of a method need; none without a rule that names some.
    pub fn scopes(&self, method: &str) -> &[Box<str>] {
        match self
            .ruling(method)
            .policy()
            .map(|policy| &policy.access().callers)
        {
            Ok(Callers::Granted { scopes, .. }) => scopes,
            _ => &[],
        }
    }

    /// Returns all methods with their rulings, in no particular order.
    pub fn rulings(&self) -> impl Iterator<Item = (&str, &Ruling)> {
        let rulings = self.rulings.iter();
        rulings.map(|(method, ruling)| (&**method, ruling))
    }
}

// === impl Ruling ===

impl Ruling {
    /// Returns the policy.
    ///
    /// # Errors
    /// There is none, so that nobody is let in.
    pub fn policy(&self) -> Result<&Policy, Denial> {
        match self {
            Self::Ruled(policy) => Ok(policy),
            Self::Silent => Err(Denial::NoAccessRule),
            Self::Invalid(_) => Err(Denial::InvalidAccessRule),
        }
    }
}

impl From<Result<Policy, String>> for Ruling {
    fn from(compiled: Result<Policy, String>) -> Self {
        match compiled {
            Ok(policy) => Self::Ruled(Box::new(policy)),
            Err(problem) => Self::Invalid(vec![problem]),
        }
    }
}
