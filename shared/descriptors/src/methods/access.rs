//! The option `mesh.v1.access`: who may call a method.

use contract::{Access, Callers};
use prost::Message;

use crate::pool::{MethodDef, Pool};

/// Full name of the extension.
const NAME: &str = "mesh.v1.access";

/// Longest role or scope, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Content of the option `mesh.v1.access`, as written.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccessOption {
    /// Whether every caller is let in.
    #[prost(bool, tag = "1")]
    pub public: bool,
    /// Whether every caller with a verified credential is let in.
    #[prost(bool, tag = "2")]
    pub authenticated: bool,
    /// Roles, of which a caller needs one.
    #[prost(string, repeated, tag = "3")]
    pub roles: Vec<String>,
    /// Scopes, of which a caller needs each.
    #[prost(string, repeated, tag = "4")]
    pub scopes: Vec<String>,
    /// A condition in CEL; empty: none.
    #[prost(string, tag = "5")]
    pub condition: String,
}

/// The options of a method that are read here.
#[derive(Clone, PartialEq, Message)]
struct AccessOptions {
    #[prost(message, optional, tag = "50102")]
    access: Option<AccessOption>,
}

// === impl AccessOption ===

impl AccessOption {
    /// Number of the option among those of a method.
    pub const NUMBER: i32 = 50_102;

    /// Returns the option of a method, as written. The number is one that anybody may use, so that
    /// only a set with the option's definition has it. A malformed one counts as absent, which lets
    /// nobody in.
    pub fn of(pool: &Pool, method: &MethodDef) -> Option<Self> {
        let options: AccessOptions = method.options.decode().ok()?;
        let access = options.access?;
        let mut extensions = pool.extensions.iter();
        let is_declared = extensions.any(|own| *own.field.name == *NAME);
        is_declared.then_some(access)
    }

    /// Returns the rule that the option describes. Its condition is not compiled here.
    ///
    /// # Errors
    /// Every contradiction, as a sentence with what to write.
    pub fn access(&self) -> Result<Access, Vec<String>> {
        let mut problems = Vec::new();
        problems.extend(unfit_names("roles", &self.roles));
        problems.extend(unfit_names("scopes", &self.scopes));
        let is_granted = !self.roles.is_empty() || !self.scopes.is_empty();
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        let callers = match (self.public, self.authenticated, is_granted) {
            (true, false, false) => Some(Callers::Public),
            (false, true, false) => Some(Callers::Authenticated),
            (false, false, true) => Some(Callers::Granted {
                roles: boxed(&self.roles),
                scopes: boxed(&self.scopes),
            }),
            _ => None,
        };
        let Some(callers) = callers else {
            problems.push(self.contradiction());
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let condition = Some(self.condition.as_str()).filter(|text| !text.is_empty());
        Ok(Access {
            callers,
            condition: condition.map(Into::into),
        })
    }

    /// Says what an option says too much, or not at all.
    fn contradiction(&self) -> String {
        let parts = [
            ("public", self.public),
            ("authenticated", self.authenticated),
            ("roles", !self.roles.is_empty()),
            ("scopes", !self.scopes.is_empty()),
        ];
        let found: Vec<String> = parts
            .iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        match found.split_last() {
            None => "names no callers; write one of `public: true`, `authenticated: true`, \
                 `roles: \"...\"` or `scopes: \"...\"`"
                .to_owned(),
            Some((last, others)) => format!(
                "has both {} and {last}, of which one contradicts the other; remove all but one, \
                 or but `roles` and `scopes`",
                others.join(", ")
            ),
        }
    }
}

/// Returns what is wrong with the names of roles or scopes: tokens list scopes with spaces between
/// them (RFC 6749 section 3.3), and logs and errors list roles with commas.
fn unfit_names(list: &str, names: &[String]) -> Vec<String> {
    let is_plain = |name: &str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','))
    };
    let mut problems = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            problems.push(format!("has an empty name among `{list}`; remove it"));
        } else if !is_plain(name) || name.len() > MAX_NAME_BYTES {
            problems.push(format!(
                "has {name:?} among `{list}`, which may be 1 to {MAX_NAME_BYTES} visible ASCII \
                 characters without `,`, `\"` and `\\`"
            ));
        } else if names[..index].contains(name) {
            problems.push(format!("has `{name}` twice among `{list}`; remove one"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(public: bool, authenticated: bool, roles: &[&str], scopes: &[&str]) -> AccessOption {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        AccessOption {
            public,
            authenticated,
            roles: owned(roles),
            scopes: owned(scopes),
            condition: String::new(),
        }
    }

    #[test]
    fn one_kind_of_callers_is_a_rule() {
        let callers = |option: AccessOption| option.access().unwrap().callers;
        assert_eq!(callers(option(true, false, &[], &[])), Callers::Public);
        let authenticated = option(false, true, &[], &[]);
        assert_eq!(callers(authenticated), Callers::Authenticated);
        let granted = Callers::Granted {
            roles: vec!["a".into()],
            scopes: vec!["b".into()],
        };
        assert_eq!(callers(option(false, false, &["a"], &["b"])), granted);
    }

    #[test]
    fn none_and_two_are_mistakes() {
        for (option, expected) in [
            (option(false, false, &[], &[]), "names no callers"),
            (
                option(true, true, &[], &[]),
                "both `public` and `authenticated`",
            ),
            (
                option(true, false, &["a"], &[]),
                "both `public` and `roles`",
            ),
            (
                option(false, true, &["a"], &["b"]),
                "both `authenticated`, `roles` and `scopes`",
            ),
            (option(false, false, &[""], &[]), "an empty name"),
            (option(false, false, &["a b"], &[]), "\"a b\" among `roles`"),
            (option(false, false, &[], &["a", "a"]), "`a` twice"),
        ] {
            let problems = option.access().unwrap_err().join("\n");
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
