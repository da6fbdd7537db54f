//! The callers of a method, in words, and the decision about a caller that the question describes.

use std::collections::BTreeSet;

use access::{Call, Callers, Denial, Ruling};
use auth::{Credential, Identity};
use http::HeaderMap;
use transcoder::{Content, Match};

use crate::api::Catalog;
use crate::context::Context;

/// The caller without a credential.
const ANONYMOUS: &str = "-";

/// Returns who may call the method.
pub(super) fn rule(context: &Context, catalog: &Catalog, method: &str) -> String {
    let rule = match catalog.access.ruling(method) {
        Ruling::Ruled(policy) => {
            let access = policy.access();
            let callers = callers(&access.callers);
            match &access.condition {
                Some(condition) => format!("{callers}; if {condition}"),
                None => callers,
            }
        }
        Ruling::Silent => "nobody: nothing says who may call it".to_owned(),
        Ruling::Invalid(problems) => format!("nobody: its rule {}", problems.join("; ")),
    };
    match context.policy().authorizes() {
        true => rule,
        false => format!("{rule} (not enforced: authentication is off)"),
    }
}

fn callers(callers: &Callers) -> String {
    match callers {
        Callers::Public => "everyone".to_owned(),
        Callers::Authenticated => "callers with a credential".to_owned(),
        Callers::Granted { roles, scopes } => {
            let roles = (!roles.is_empty()).then(|| format!("role {}", roles.join(" or ")));
            let scopes = (!scopes.is_empty()).then(|| format!("scope {}", scopes.join(" and ")));
            Vec::from_iter(roles.into_iter().chain(scopes)).join(", and ")
        }
    }
}

/// Returns the decision about a caller: `ALLOWED`, or the reason of the denial with a sentence. The
/// body of the request and its headers are unknown here.
pub(super) fn decision(
    catalog: &Catalog,
    matched: &Match<'_>,
    query: Option<&str>,
    caller: &str,
) -> String {
    let identity = identity(caller);
    let identity = identity.as_ref();
    let policy = match catalog.access.admit(matched.method().path(), identity) {
        Ok(policy) => policy,
        Err(denial) => return denied(&denial),
    };
    if !policy.has_condition() {
        return "ALLOWED".to_owned();
    }
    let mut request = Vec::new();
    let encoded = matched.encode_request_as(Content::Json, query, b"", &mut request);
    if let Err(error) = encoded {
        return format!("ALLOWED if the condition holds: path and query do not tell ({error})");
    }
    let call = Call {
        identity,
        metadata: &HeaderMap::new(),
        request: &request,
    };
    let known = match matched.route().body() {
        None => "",
        Some(_) => " (by path and query alone; the body may decide otherwise)",
    };
    match policy.admit_message(&call) {
        Ok(()) => format!("ALLOWED{known}"),
        Err(denial) => denied(&denial) + known,
    }
}

fn denied(denial: &Denial) -> String {
    let reason = denial.reason();
    match denial {
        Denial::ConditionNotMet { error: Some(error) } => format!("{reason}: {denial}: {error}"),
        _ => format!("{reason}: {denial}"),
    }
}

/// Reads `alice,role=clerk,scope=orders.read,tenant=acme`; `None` is a caller without a credential.
fn identity(text: &str) -> Option<Identity> {
    if text == ANONYMOUS {
        return None;
    }
    let mut identity = Identity {
        issuer: "explain".to_owned(),
        subject: String::new(),
        tenant: None,
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    };
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("role", role)) => drop(identity.roles.insert(role.to_owned())),
            Some(("scope", scope)) => drop(identity.scopes.insert(scope.to_owned())),
            Some(("tenant", tenant)) => identity.tenant = Some(tenant.to_owned()),
            Some(("issuer", issuer)) => issuer.clone_into(&mut identity.issuer),
            _ => part.clone_into(&mut identity.subject),
        }
    }
    Some(identity)
}
