//! The policy of one generation: what a request has to pass, and how its response leaves, whatever
//! is called.

mod answers;
mod audit;
mod authenticate;
mod authorize;
mod challenge;
pub(crate) mod client_address;
mod codes;
mod codings;
mod conditional;
mod deadline;
mod message;
mod metadata;
mod quota;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use ::quota::{Limit, Limiter, Notice};
use access::Policies;
use chassis::config::ConfigError;
use futures::FutureExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRAILER};
use http::request::Parts;
use http::{Extensions, Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;
use tonic::body::Body;
use transcoder::{JsonOptions, MethodPlan};

use crate::api::{Catalog, Dialect};
use crate::call::FirstMessageCheck;
use crate::failure::Failure;
use authorize::Authorization;
use client_address::TrustedProxies;
use codings::Codings;
use conditional::Tagger;
use cors::Cors;
use metadata::MetadataRules;

pub use answers::{CacheSettings, IdempotencySettings};
pub use authorize::{AuthorizationSettings, PageCallers};
pub use codings::CompressionSettings;
pub use compression::Coding;
pub use conditional::ConditionalSettings;
pub use cors::CorsSettings;
pub use deadline::DeadlineSettings;
pub use metadata::MetadataSettings;
pub use stage::{RequestInfo, Stage};

pub(crate) use answers::Answers;
pub(crate) use audit::Audit;
pub(crate) use authenticate::Authentication;
pub(crate) use codes::{CodeRules, validate as validate_statuses};
pub(crate) use conditional::is_condition;
pub(crate) use deadline::CONNECT_TIMEOUT;
pub(crate) use message::MessagePolicy;
pub(crate) use metadata::{strip_hop_by_hop, takes_trailers};
pub(crate) use stage::{Callee, Stages};

/// The settings that a policy is made from.
pub(crate) struct PolicySettings<'a> {
    pub(crate) trusted_proxies: &'a [String],
    pub(crate) dialect: Dialect,
    /// How messages are shown, which entity tags depend on.
    pub(crate) json: &'a JsonOptions,
    pub(crate) metadata: &'a MetadataSettings,
    pub(crate) deadline: &'a DeadlineSettings,
    pub(crate) cors: &'a CorsSettings,
    pub(crate) conditional: &'a ConditionalSettings,
    pub(crate) compression: &'a CompressionSettings,
    pub(crate) codes: CodeRules,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) authorization: &'a AuthorizationSettings,
    pub(crate) stages: Stages,
    pub(crate) limiter: Limiter,
    pub(crate) answers: Answers,
    pub(crate) audit: Audit,
}

/// The configured policy, made ready for use on every request.
pub(crate) struct Policy {
    pub(crate) client_address: TrustedProxies,
    pub(crate) dialect: Dialect,
    pub(crate) cors: Option<Cors>,
    max_duration: Option<Duration>,
    pub(crate) metadata: MetadataRules,
    etags: Option<Tagger>,
    codings: Codings,
    /// The HTTP statuses of codes.
    pub(crate) codes: CodeRules,
    authentication: Option<Authentication>,
    /// `None` where nobody is authenticated.
    authorization: Option<Authorization>,
    stages: Stages,
    limiter: Limiter,
    pub(crate) answers: Answers,
    pub(crate) audit: Audit,
}

impl Policy {
    /// # Errors
    /// Trusted proxies that are no addresses.
    pub(crate) fn new(settings: PolicySettings<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            client_address: TrustedProxies::parse(settings.trusted_proxies)?,
            dialect: settings.dialect,
            cors: Cors::new(settings.cors),
            max_duration: settings.deadline.max(),
            metadata: MetadataRules::new(settings.metadata, settings.dialect),
            etags: Tagger::new(settings.conditional, settings.json),
            codings: Codings::new(settings.compression),
            codes: settings.codes,
            authorization: settings
                .authentication
                .as_ref()
                .map(|_| Authorization::new(settings.authorization)),
            authentication: settings.authentication,
            stages: settings.stages,
            limiter: settings.limiter,
            answers: settings.answers,
            audit: settings.audit,
        })
    }

    /// Returns whether authentication is on, and the credential is one of HTTP Basic.
    pub(crate) fn has_basic(&self, headers: &HeaderMap) -> bool {
        self.authentication.is_some() && authenticate::is_basic(headers)
    }

    /// Finds who calls, once the method is known: an `Arc<auth::Identity>` among the extensions. A
    /// request without a credential stays anonymous. `passes_basic` says whether its credential is
    /// for a public method to check, see [`Self::has_basic`].
    ///
    /// # Errors
    /// A credential that proves nothing, or an issuer that does not answer before the deadline.
    pub(crate) async fn authenticate(
        &self,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        deadline: Option<Instant>,
        passes_basic: bool,
    ) -> Result<(), Failure> {
        match &self.authentication {
            None => Ok(()),
            Some(authentication) => {
                let admitted = authentication.admit(headers, extensions, deadline, passes_basic);
                admitted.await
            }
        }
    }

    /// Answers a request for the metadata of this API, which are public: they say where tokens come
    /// from.
    pub(crate) fn resource_metadata(&self, head: &Parts) -> Option<Response<Body>> {
        let response = self.authentication.as_ref()?.answer(head)?;
        Some(self.finish(head, response))
    }

    /// Returns the authentication, if it is on.
    pub(crate) fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }

    /// Returns whether callers need to be let in by `mesh.v1.access`.
    pub(crate) fn authorizes(&self) -> bool {
        self.authorization.is_some()
    }

    /// Notes what authorization needs to know of a request as it arrived.
    pub(crate) fn mark<B>(&self, request: &mut Request<B>) {
        if let Some(authorization) = &self.authorization {
            authorization.mark(request);
        }
    }

    /// Returns the check of a call's first message, if the method has a condition, or the call is
    /// recorded. `path` is `/package.Service/Method`.
    pub(crate) fn first_message(
        &self,
        catalog: &Arc<Catalog>,
        path: &str,
        method: Option<&MethodPlan>,
        extensions: &Extensions,
    ) -> Option<FirstMessageCheck> {
        let authorization = self.authorization.as_ref();
        let condition = authorization.and_then(|own| own.condition(catalog, path, extensions));
        let audit = &self.audit;
        audit.watch(catalog, path, method, extensions, condition)
    }

    /// Completes a 401, in whichever protocol and for whatever reason it was rendered.
    pub(crate) fn challenge(&self, response: &mut Response<Body>) {
        let own = self.authentication.as_ref().map(Authentication::challenge);
        challenge::challenge(response, own);
    }

    /// Runs the stages between authentication and the first message, in their order. The first
    /// refusal ends the request.
    ///
    /// A new stage is a file in `policy/` and a line here. The order is: authorize by
    /// method, rate limit, then the stages of the build. Admission (overload) is in the client
    /// stack, where a slow request body takes no slot. Stages that depend
    /// on a message (conditions on fields, validation, idempotency, cache) belong to
    /// [`MessagePolicy`]; the audit trail sees calls once they are let in, and denials.
    ///
    /// # Errors
    /// The refusal of a stage.
    pub(crate) async fn admit(
        &self,
        request: RequestInfo<'_>,
        access: &Policies,
    ) -> Result<(), Failure> {
        if let (Some(authorization), Some(authentication)) =
            (&self.authorization, &self.authentication)
        {
            authorization.admit(&request, access, authentication.challenge())?;
        }
        for stage in &*self.stages {
            stage.admit(&request).await?;
        }
        Ok(())
    }

    /// Charges a request to the limits of its method; the answer tells what is left.
    ///
    /// # Errors
    /// The refusal of the first limit that is used up.
    pub(crate) async fn limit(
        &self,
        limits: &[Limit],
        request: &RequestInfo<'_>,
        notice: &mut Notice,
    ) -> Result<(), Failure> {
        match limits {
            [] => Ok(()),
            limits => {
                quota::charge(&self.limiter, limits, request, notice)
                    .boxed()
                    .await
            }
        }
    }

    /// Returns the earliest of the caller's deadlines and the configured one; `None` without any.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
        let asked = deadline::asked(headers)?;
        let max = self.max_duration;
        let max = max.and_then(|max| Instant::now().checked_add(max));
        Ok(asked.into_iter().chain(max).min())
    }

    /// How hard content codings try.
    pub(crate) fn levels(&self) -> compression::Levels {
        self.codings.levels()
    }

    /// Returns the tagger of entity tags, for methods that may be conditional.
    pub(crate) fn tagger(&self, method: &Method) -> Option<&Tagger> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        self.etags.as_ref().filter(|_| reads)
    }

    /// The body without its content coding.
    pub(crate) fn decode(&self, headers: &HeaderMap, body: Body) -> Result<Body, Failure> {
        self.codings.decode(headers, body)
    }

    /// Completes a response of the JSON API: not modified, compressed, or without content where
    /// HTTP wants none.
    pub(crate) fn finish(&self, head: &Parts, mut response: Response<Body>) -> Response<Body> {
        if has_no_content(response.status()) {
            return without_content(response);
        }
        let method = &head.method;
        let chosen = self.codings.choose(method, &head.headers, &mut response);
        if let Some(chosen) = &chosen {
            conditional::mark(response.headers_mut(), chosen.coding);
        }
        if conditional::is_unmodified(head, &response) {
            return conditional::not_modified(response);
        }
        match chosen {
            Some(chosen) => self.codings.encode(chosen, response),
            None if *method == Method::HEAD => only_head(response),
            None => response,
        }
    }
}

/// Statuses whose responses end with their headers (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
fn has_no_content(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

fn without_content(response: Response<Body>) -> Response<Body> {
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_TYPE);
    head.headers.remove(TRAILER);
    Response::from_parts(head, Body::empty())
}

/// The response to HEAD has the headers of GET, and no content (RFC 9110 §9.3.2).
fn only_head(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    head.headers.remove(TRAILER);
    Response::from_parts(head, Body::empty())
}
