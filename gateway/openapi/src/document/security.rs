//! Security: how callers prove who they are, and whom operations let in.

use contract::{Access, Callers};

use super::{Document, Security};
use crate::value::{Json, Object};

/// Names of the schemes.
const BEARER: &str = "bearer";
const API_KEY: &str = "apiKey";

impl Document<'_> {
    /// Returns the schemes; `None` where callers are not authenticated.
    pub(super) fn security_schemes(&self) -> Option<Object> {
        let security = self.info.security.as_ref()?;
        let bearer = Object::new()
            .with("type", "http")
            .with("scheme", "bearer")
            .with("description", "An access token (RFC 6750).");
        let mut schemes = Object::new().with(BEARER, bearer);
        if let Some(header) = &security.api_key_header {
            let key = Object::new()
                .with("type", "apiKey")
                .with("in", "header")
                .with("name", &**header)
                .with("description", "A key that was issued to the caller.");
            schemes.set(API_KEY, key);
        }
        Some(schemes)
    }

    /// Adds whom a method lets in: `security` with the roles and scopes that are needed, and
    /// `x-access` with all that OpenAPI can't say.
    pub(super) fn secure(&self, method: &str, operation: &mut Object) {
        let Some(security) = &self.info.security else {
            return;
        };
        let access = security.access.get(method);
        let needed = match access.map(|access| &access.callers) {
            Some(Callers::Public) => {
                operation.set("security", Json::List(Vec::new()));
                None
            }
            Some(Callers::Granted { roles, scopes }) => Some(roles.iter().chain(scopes).collect()),
            Some(Callers::Authenticated) | None => Some(Vec::<&Box<str>>::new()),
        };
        if let Some(needed) = needed {
            let needed = || Json::list(needed.iter().map(|name| &***name));
            let mut schemes = vec![Object::new().with(BEARER, needed())];
            if security.api_key_header.is_some() {
                schemes.push(Object::new().with(API_KEY, needed()));
            }
            operation.set("security", Json::list(schemes));
        }
        operation.set("x-access", shown(access));
    }
}

/// Returns the option as the contract has it; without one, nobody is let in.
fn shown(access: Option<&Access>) -> Object {
    let Some(access) = access else {
        return Object::new().with("nobody", true);
    };
    let list = |names: &[Box<str>]| Json::list(names.iter().map(|name| &**name));
    let mut shown = Object::new();
    match &access.callers {
        Callers::Public => shown.set("public", true),
        Callers::Authenticated => shown.set("authenticated", true),
        Callers::Granted { roles, scopes } => {
            for (name, names) in [("roles", roles), ("scopes", scopes)] {
                if !names.is_empty() {
                    shown.set(name, list(names));
                }
            }
        }
    }
    if let Some(condition) = &access.condition {
        shown.set("condition", &**condition);
    }
    shown
}

// === impl Security ===

impl Security {
    /// Creates the security of methods by their paths, `/package.Service/Method`; all others let
    /// nobody in.
    pub fn new<'a>(access: impl IntoIterator<Item = (&'a str, &'a Access)>) -> Self {
        let access = access.into_iter();
        Self {
            api_key_header: None,
            access: access
                .map(|(method, access)| (method.to_owned(), access.clone()))
                .collect(),
        }
    }
}
