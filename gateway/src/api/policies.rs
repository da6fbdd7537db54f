//! Options of methods whose contract can't be edited: `[[schema.policies]]`, by selector.

mod answers;

use std::collections::{BTreeMap, BTreeSet};

use access::{Access, AccessOption, Policies, Ruling};
use chassis::config::ConfigError;
use quota::{LimitTable, Limits, RateLimitOption};
use serde::Deserialize;
use transcoder::{MethodPlan, Schema};

use super::catalog::Refusal;
use crate::settings::reject_key;

pub use answers::{CacheTable, IdempotencyKeyTable, InvalidationTable};
pub(crate) use answers::{SelectedAnswers, answers};

/// The choices that an API is compiled with.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiOptions {
    pub(crate) transcoding: transcoder::Options,
    /// Options of methods by selector.
    pub(crate) policies: Vec<MethodOptions>,
    /// Limits of methods that have none.
    pub(crate) limits: Vec<LimitTable>,
    /// Whether callers need to be let in.
    pub(crate) authorizes: bool,
}

/// An item of `[[schema.policies]]`: options of the methods that its selector names. A further
/// option is a field here, a line of [`MethodOptions::names`], and a [`SelectedOption`] where it is
/// read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MethodOptions {
    /// `package.Service.Method`, or `package.Service.*` for all methods of a service that no other
    /// item names.
    pub selector: String,
    /// `mesh.v1.access`.
    pub access: Option<AccessTable>,
    /// `mesh.v1.rate_limit`.
    pub rate_limit: Option<Vec<LimitTable>>,
    /// `mesh.v1.cache`.
    pub cache: Option<CacheTable>,
    /// `mesh.v1.idempotency_key`.
    pub idempotency_key: Option<IdempotencyKeyTable>,
}

/// `mesh.v1.Access`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessTable {
    /// Whether every caller is let in.
    pub public: bool,
    /// Whether every caller with a verified credential is let in.
    pub authenticated: bool,
    /// Roles, of which a caller needs one.
    pub roles: Vec<String>,
    /// Scopes, of which a caller needs each.
    pub scopes: Vec<String>,
    /// A condition in CEL.
    pub condition: String,
}

/// One option that selectors may give.
#[derive(Clone, Copy)]
pub(crate) struct SelectedOption<T> {
    /// The key in an item, and the name in `mesh.v1`.
    pub(crate) name: &'static str,
    pub(crate) of: fn(&MethodOptions) -> Option<&T>,
    /// Whether the contract of a method has the option.
    pub(crate) is_declared: fn(&MethodPlan) -> bool,
}

/// The option `access`.
const ACCESS: SelectedOption<AccessTable> = SelectedOption {
    name: "access",
    of: |item| item.access.as_ref(),
    is_declared: |method| method.access().is_some(),
};

/// The option `rate_limit`.
const RATE_LIMIT: SelectedOption<Vec<LimitTable>> = SelectedOption {
    name: "rate_limit",
    of: |item| item.rate_limit.as_ref(),
    is_declared: |method| !method.rate_limits().is_empty(),
};

/// Compiles how often the methods of a schema may be called; those that say nothing have the limits
/// `default`.
///
/// # Errors
/// A method has the option in its contract and by selector, or limits that can't be read.
pub(crate) fn limits(
    schema: &Schema,
    items: &[MethodOptions],
    default: &[LimitTable],
) -> Result<Limits, Refusal> {
    let selected = selected(schema, items, RATE_LIMIT)?;
    let options = |tables: &[LimitTable]| tables.iter().map(LimitTable::option).collect();
    let of = |method: &MethodPlan| -> Vec<RateLimitOption> {
        match (selected.get(method.path()), method.rate_limits()) {
            (Some(tables), _) => options(tables),
            (None, []) => options(default),
            (None, own) => own.to_vec(),
        }
    };
    Limits::compile(schema.methods(), of).map_err(|(method, problems)| Refusal::BadLimit {
        method,
        problems: problems.join("; "),
    })
}

/// Compiles who may call the methods of a schema.
///
/// # Errors
/// A method has the option in its contract and by selector, or a condition of the configuration
/// can't be compiled.
pub(crate) fn access(schema: &Schema, items: &[MethodOptions]) -> Result<Policies, Refusal> {
    let selected = selected(schema, items, ACCESS)?;
    let of_method = |method: &MethodPlan| match selected.get(method.path()) {
        Some(table) => Some(table.access()),
        None => method.access().map(AccessOption::access),
    };
    let policies = Policies::compile(schema.types(), schema.methods(), of_method);
    // A rule of the contract that is invalid lets nobody in; one of the configuration is an error.
    for method in selected.keys() {
        if let Ruling::Invalid(problems) = policies.ruling(method) {
            return Err(Refusal::InvalidPolicy {
                method: (*method).to_owned(),
                problem: problems.join("; "),
            });
        }
    }
    Ok(policies)
}

/// Returns the values of one option that selectors give, by the paths of methods.
///
/// # Errors
/// A method has the option in its contract and by selector.
pub(crate) fn selected<'s, T>(
    schema: &'s Schema,
    items: &'s [MethodOptions],
    option: SelectedOption<T>,
) -> Result<BTreeMap<&'s str, &'s T>, Refusal> {
    let mut found = BTreeMap::new();
    // Names of methods come after those of services, and replace what these have given.
    let (of_services, of_methods): (Vec<_>, Vec<_>) = items
        .iter()
        .enumerate()
        .partition(|(_, item)| item.is_of_service());
    for (index, item) in of_services.into_iter().chain(of_methods) {
        let Some(value) = (option.of)(item) else {
            continue;
        };
        for method in schema.methods().filter(|method| item.selects(method)) {
            if (option.is_declared)(method) {
                return Err(Refusal::TwoPolicies {
                    key: format!("schema.policies[{index}].{}", option.name),
                    option: option.name,
                    method: method.path().to_owned(),
                });
            }
            found.insert(method.path(), value);
        }
    }
    Ok(found)
}

/// Checks that each selector names a method of a service that is served.
///
/// # Errors
/// The first one that names none.
pub(crate) fn check_all_select(
    schema: &Schema,
    items: &[MethodOptions],
    is_served: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    for (index, item) in items.iter().enumerate() {
        let mut methods = schema.methods();
        if !methods.any(|method| item.selects(method) && is_served(method.service())) {
            return Err(Refusal::SelectsNothing {
                key: format!("schema.policies[{index}].selector"),
                selector: item.selector.clone(),
            });
        }
    }
    Ok(())
}

/// Checks all that can be known before the methods are.
pub(super) fn validate(items: &[MethodOptions]) -> Result<(), ConfigError> {
    let mut known = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let key = format!("schema.policies[{index}]");
        item.validate(&key)?;
        for name in item.names() {
            if !known.insert((&item.selector, name)) {
                let problem = format!("`{}` has this option in another item", item.selector);
                return reject_key(&format!("{key}.{name}"), &problem);
            }
        }
    }
    Ok(())
}

// === impl MethodOptions ===

impl MethodOptions {
    /// Returns the names of the options that it has.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("access", self.access.is_some()),
            ("rate_limit", self.rate_limit.is_some()),
            ("cache", self.cache.is_some()),
            ("idempotency_key", self.idempotency_key.is_some()),
        ];
        options
            .into_iter()
            .filter_map(|(name, is_set)| is_set.then_some(name))
    }

    fn is_of_service(&self) -> bool {
        self.selector.ends_with(".*")
    }

    fn selects(&self, method: &MethodPlan) -> bool {
        let path = method.path().trim_start_matches('/');
        let Some((service, name)) = path.split_once('/') else {
            return false;
        };
        match self.selector.rsplit_once('.') {
            Some((of, "*")) => of == service,
            Some((of, only)) => of == service && only == name,
            None => false,
        }
    }

    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let parts = self.selector.rsplit_once('.');
        let is_fit = parts.is_some_and(|(service, method)| {
            service.split('.').all(is_name) && (method == "*" || is_name(method))
        });
        if !is_fit {
            let problem = format!(
                "expected `package.Service.Method` or `package.Service.*`, got {:?}",
                self.selector
            );
            return reject_key(&format!("{key}.selector"), &problem);
        }
        if self.names().next().is_none() {
            return reject_key(key, "has a selector and no option");
        }
        if let Some(Err(problems)) = self.rate_limit.as_deref().map(LimitTable::check) {
            return reject_key(&format!("{key}.rate_limit"), &problems.join("; "));
        }
        let cache = self.cache.as_ref().and_then(CacheTable::mistake);
        let idempotency = self.idempotency_key.as_ref();
        let idempotency = idempotency.and_then(IdempotencyKeyTable::mistake);
        for (option, mistake) in [("cache", cache), ("idempotency_key", idempotency)] {
            if let Some((name, problem)) = mistake {
                return reject_key(&format!("{key}.{option}.{name}"), problem);
            }
        }
        match self.access.as_ref().map(AccessTable::access) {
            Some(Err(problems)) => reject_key(&format!("{key}.access"), &problems.join("; ")),
            _ => Ok(()),
        }
    }
}

// === impl AccessTable ===

impl AccessTable {
    fn access(&self) -> Result<Access, Vec<String>> {
        let option = AccessOption {
            public: self.public,
            authenticated: self.authenticated,
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            condition: self.condition.clone(),
        };
        option.access()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        #[derive(Deserialize)]
        struct Section {
            policies: Vec<MethodOptions>,
        }
        let section: Section = toml::from_str(text).unwrap();
        let message = validate(&section.policies).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for selector in ["", "a", "a.", ".b", "a.*.b", "a..b", "a/b"] {
            let text =
                format!("[[policies]]\nselector = \"{selector}\"\naccess = {{ public = true }}");
            refused(&text, "`schema.policies[0].selector`: expected `package");
        }
        refused(
            "[[policies]]\nselector = \"a.B.C\"",
            "`schema.policies[0]`: has a selector",
        );
        refused(
            "[[policies]]\nselector = \"a.B.C\"\naccess = { public = true, roles = [\"x\"] }",
            "`schema.policies[0].access`: has both `public` and `roles`",
        );
        let twice = "[[policies]]\nselector = \"a.B.C\"\naccess = { public = true }\n";
        refused(
            &twice.repeat(2),
            "`schema.policies[1].access`: `a.B.C` has this option",
        );
    }
}
