//! The callers of a method, old and new.

use contract::{Access, Callers};
use descriptors::MethodPlan;

use super::{Breakage, Comparison};

/// The rule of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// The contract says nothing, or contradicts itself: nobody, once callers are authenticated.
    Nobody,
    Access(Access),
}

impl Comparison<'_> {
    /// Compares the rules of the methods that both contracts have. A rule that both lets in others
    /// and leaves out some is reported twice.
    pub(super) fn access(&mut self) {
        let (old, new) = (self.before.methods(), self.after.methods());
        for (path, old) in old {
            let Some(new) = new.get(path) else { continue };
            let (was, is) = (Rule::of(old), Rule::of(new));
            let file = self.after.file_of_method(path);
            let is_dropped = was != Rule::Nobody && is == Rule::Nobody;
            let directions = [
                (
                    Breakage::AccessNarrowed,
                    is_dropped || was.admits_more_than(&is),
                ),
                (Breakage::AccessWidened, is.admits_more_than(&was)),
            ];
            for (rule, _) in directions.into_iter().filter(|(_, holds)| *holds) {
                let (before, after) = (was.describe(), is.describe());
                self.method_change(file.clone(), path, rule, &before, &after);
            }
        }
    }
}

// === impl Rule ===

impl Rule {
    fn of(method: &MethodPlan) -> Self {
        match method.access().map(descriptors::AccessOption::access) {
            Some(Ok(access)) => Self::Access(access),
            _ => Self::Nobody,
        }
    }

    /// Returns whether there may be a caller whom this rule lets in and `other` does not. Two
    /// conditions that differ may let in others each way, as nothing here evaluates them. A rule
    /// where there was none protects what may have been open until now, unless it lets in everyone.
    fn admits_more_than(&self, other: &Self) -> bool {
        let (own, other) = match (self, other) {
            (Self::Nobody, _) => return false,
            (Self::Access(own), Self::Nobody) => return own.is_public(),
            (Self::Access(own), Self::Access(other)) => (own, other),
        };
        let has_new_condition = other.condition.is_some() && other.condition != own.condition;
        has_new_condition || admit_more(&own.callers, &other.callers)
    }

    fn describe(&self) -> String {
        let access = match self {
            Self::Nobody => return "nobody".to_owned(),
            Self::Access(access) => access,
        };
        let list = |kind: &str, names: &[Box<str>]| match names {
            [] => String::new(),
            names => format!("{kind} {}", names.join(", ")),
        };
        let mut parts = match &access.callers {
            Callers::Public => vec!["everyone".to_owned()],
            Callers::Authenticated => vec!["every caller with a credential".to_owned()],
            Callers::Granted { roles, scopes } => {
                vec![list("roles", roles), list("scopes", scopes)]
            }
        };
        if let Some(condition) = &access.condition {
            parts.push(format!("condition {condition}"));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" and ")
    }
}

fn admit_more(own: &Callers, other: &Callers) -> bool {
    let breadth = |callers: &Callers| match callers {
        Callers::Public => 2,
        Callers::Authenticated => 1,
        Callers::Granted { .. } => 0,
    };
    let (
        Callers::Granted { roles, scopes },
        Callers::Granted {
            roles: other_roles,
            scopes: other_scopes,
        },
    ) = (own, other)
    else {
        return breadth(own) > breadth(other);
    };
    // Without a role none is needed.
    let has_more_roles = !other_roles.is_empty()
        && (roles.is_empty() || roles.iter().any(|role| !other_roles.contains(role)));
    let needs_fewer_scopes = other_scopes.iter().any(|scope| !scopes.contains(scope));
    has_more_roles || needs_fewer_scopes
}
