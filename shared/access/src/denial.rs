//! The reasons for which a call is not let in.

use std::fmt;

use rpc::error::Fault;
use tonic::Code;

/// The reason why a call is not let in, and what it lacks. It names neither the caller nor a value
/// of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The caller has no credential, and one may help.
    CredentialsRequired,
    /// The caller has none of these roles.
    MissingRole {
        /// The roles, of which one is enough.
        any_of: Vec<Box<str>>,
    },
    /// The caller's credential lacks these scopes.
    MissingScope {
        /// The scopes that are missing.
        missing: Vec<Box<str>>,
    },
    /// The condition of the method does not hold for this call.
    ConditionNotMet {
        /// The reason why the condition has no result, for operators; it quotes no value.
        error: Option<String>,
    },
    /// The contract says nothing about who may call the method.
    NoAccessRule,
    /// The contract's rule can't be read; the problem is for operators.
    InvalidAccessRule,
}

// === impl Denial ===

impl Denial {
    /// Returns the stable reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::CredentialsRequired => "CREDENTIALS_REQUIRED",
            Self::MissingRole { .. } => "MISSING_ROLE",
            Self::MissingScope { .. } => "MISSING_SCOPE",
            Self::ConditionNotMet { .. } => "CONDITION_NOT_MET",
            Self::NoAccessRule => "NO_ACCESS_RULE",
            Self::InvalidAccessRule => "INVALID_ACCESS_RULE",
        }
    }

    /// Returns the code: UNAUTHENTICATED where a credential may help, else PERMISSION_DENIED.
    pub const fn code(&self) -> Code {
        match self {
            Self::CredentialsRequired => Code::Unauthenticated,
            _ => Code::PermissionDenied,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsRequired => formatter.write_str("the call needs a credential"),
            Self::MissingRole { any_of } => match &**any_of {
                [role] => write!(formatter, "the caller needs the role `{role}`"),
                _ => write!(
                    formatter,
                    "the caller needs one of the roles {}",
                    list(any_of)
                ),
            },
            Self::MissingScope { missing } => {
                write!(
                    formatter,
                    "the credential lacks the scope {}",
                    list(missing)
                )
            }
            Self::ConditionNotMet { .. } => {
                formatter.write_str("the condition of the method does not hold for this call")
            }
            Self::NoAccessRule => {
                formatter.write_str("nothing says who may call the method, so nobody may")
            }
            Self::InvalidAccessRule => {
                formatter.write_str("the rule of who may call the method is invalid, so nobody may")
            }
        }
    }
}

impl From<&Denial> for Fault {
    fn from(denial: &Denial) -> Self {
        let fault = Self::new(denial.code(), denial.reason(), denial.to_string());
        match denial {
            Denial::MissingRole { any_of } => fault.metadata("roles", any_of.join(",")),
            Denial::MissingScope { missing } => fault.metadata("scopes", missing.join(" ")),
            _ => fault,
        }
    }
}

fn list(names: &[Box<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
