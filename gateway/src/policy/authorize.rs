//! Authorization: whether the caller may call the method, as its contract says
//! (`mesh.v1.access`), and who may see the pages about the API.

use std::sync::Arc;

use access::{Call, Callers, Denial, Label, Policies, Policy};
use auth::Identity;
use chassis::config::ConfigError;
use chassis::error::Fault;
use chassis::observe;
use chassis::server::{self, Operator};
use http::{Extensions, HeaderMap, HeaderValue, Request};
use serde::Deserialize;
use tonic::Status;

use super::challenge;
use super::stage::RequestInfo;
use crate::api::Catalog;
use crate::call::Condition;
use crate::failure::Failure;
use crate::settings::reject_key;

/// The keys under `[authorization]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AuthorizationSettings {
    /// The callers who may see the pages about the API, and ask server reflection.
    pub pages: PageCallers,
    /// Roles, of which these callers need one.
    pub page_roles: Vec<String>,
    /// Whether the access log names callers by subject, instead of a digest.
    pub log_subjects: bool,
}

/// The callers that may see the pages about the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageCallers {
    /// Everyone.
    Public,
    /// Those with a credential, and clients on this machine.
    Loopback,
    /// Those with a credential.
    Authenticated,
}

/// Extension of a request for a page that a client on this machine has sent.
#[derive(Clone, Copy)]
struct FromThisMachine;

/// Lets callers call what they may. It exists where callers are authenticated.
pub(crate) struct Authorization {
    pages: Policy,
    admits_loopback: bool,
    label: Label,
}

// === impl AuthorizationSettings ===

impl AuthorizationSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let needs_role = !self.page_roles.is_empty();
        if needs_role && self.pages == PageCallers::Public {
            let problem = "roles, and `authorization.pages` lets in everyone";
            return reject_key("authorization.page_roles", problem);
        }
        match self.page_roles.iter().any(String::is_empty) {
            true => reject_key(
                "authorization.page_roles",
                "expected names, got an empty one",
            ),
            false => Ok(()),
        }
    }
}

// === impl Authorization ===

impl Authorization {
    pub(super) fn new(settings: &AuthorizationSettings) -> Self {
        let roles: Vec<Box<str>> = settings
            .page_roles
            .iter()
            .map(|own| own.as_str().into())
            .collect();
        let callers = match (settings.pages, roles.is_empty()) {
            (PageCallers::Public, _) => Callers::Public,
            (_, true) => Callers::Authenticated,
            (_, false) => Callers::Granted {
                roles,
                scopes: Vec::new(),
            },
        };
        Self {
            pages: Policy::of(callers),
            admits_loopback: settings.pages == PageCallers::Loopback,
            label: match settings.log_subjects {
                true => Label::Subject,
                false => Label::Digest,
            },
        }
    }

    /// Notes whether a request comes from this machine, before its headers are rewritten.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) {
        if self.admits_loopback
            && is_about_api(request.uri().path())
            && server::is_from_this_machine(request)
        {
            request.extensions_mut().insert(FromThisMachine);
        }
    }

    /// Decides by the method and the caller.
    ///
    /// # Errors
    /// UNAUTHENTICATED or PERMISSION_DENIED, with what the caller lacks. `challenge` is that of a
    /// 401, which tells a caller that lacks scopes of all that it needs (RFC 6750 §3.1).
    pub(super) fn admit(
        &self,
        request: &RequestInfo<'_>,
        policies: &Policies,
        challenge: &HeaderValue,
    ) -> Result<(), Failure> {
        let identity = request.identity().map(|identity| &**identity);
        let (decided, scopes) = match (request.rpc_method(), request.upstream()) {
            (Some(method), Some(_)) => {
                let decided = policies.admit(method, identity).map(|_| ());
                (decided, policies.scopes(method))
            }
            _ => (self.admit_to_page(request.extensions(), identity), &[][..]),
        };
        self.note(identity, decided.as_ref().err());
        decided.map_err(|denial| {
            let mut failure = Failure::from(Fault::from(&denial));
            if let Denial::MissingScope { .. } = denial {
                let description = "the credential lacks a scope";
                failure.header =
                    challenge::with_error(challenge, "insufficient_scope", description, scopes);
            }
            failure
        })
    }

    fn admit_to_page(
        &self,
        extensions: &Extensions,
        identity: Option<&Identity>,
    ) -> Result<(), Denial> {
        // The listener has checked who sees the operators' pages.
        let is_operator = extensions.get::<Operator>().is_some();
        let is_local = extensions.get::<FromThisMachine>().is_some();
        if is_operator || (is_local && self.admits_loopback) {
            return Ok(());
        }
        self.pages.admit(identity)
    }

    fn note(&self, identity: Option<&Identity>, denial: Option<&Denial>) {
        let record = observe::current();
        if let Some(identity) = identity {
            record.caller(|| self.label.of(identity));
        }
        record.decision(denial.map_or("ALLOWED", Denial::reason));
    }

    /// Returns the condition of a method about a call's first message, if it has one.
    pub(super) fn condition(
        &self,
        catalog: &Arc<Catalog>,
        method: &str,
        extensions: &Extensions,
    ) -> Option<Condition> {
        let policy = catalog.access.ruling(method).policy().ok()?;
        if !policy.has_condition() {
            return None;
        }
        let (catalog, method) = (catalog.clone(), method.to_owned());
        let identity: Option<Arc<Identity>> = extensions.get().cloned();
        let record = observe::current();
        Some(Arc::new(move |metadata: &HeaderMap, request: &[u8]| {
            let call = Call {
                identity: identity.as_deref(),
                metadata,
                request,
            };
            let policy = catalog.access.ruling(&method).policy();
            let decided = policy.and_then(|policy| policy.admit_message(&call));
            decided.map_err(|denial| {
                record.decision(denial.reason());
                Status::from(Fault::from(&denial))
            })
        }))
    }
}

/// Returns whether a path may be one of the pages, or a call of server reflection.
fn is_about_api(path: &str) -> bool {
    matches!(path, "/" | "/docs" | "/openapi.json")
        || path.starts_with("/docs/")
        || path.starts_with("/grpc.reflection.")
}
