//! The path of every request: the ordered stages, whatever the protocol.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use admission::{Excess, Holding, Unread};
use chassis::Process;
use chassis::config::ConfigError;
use chassis::error::Fault;
use chassis::observe;
use futures::FutureExt;
use http::header::ORIGIN;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use quota::{Limiter, Notice};
use tonic::body::Body;

use super::Config;
use super::drain_on_close::drain_on_close;
use super::processes::Processes;
use crate::api::{Catalog, Directory};
use crate::context::{Context, ContextParts};
use crate::failure::Failure;
use crate::policy::{
    Answers, Audit, Authentication, Callee, Policy, PolicySettings, RequestInfo, Stages,
    client_address,
};
use crate::protocols::{self, Protocol, Resolved, WebSocketSettings};
use crate::surface::{self, Pages};

/// The active generation: configuration, upstreams and the catalogs over them, swapped atomically.
pub(super) struct Generation {
    context: Context,
    websocket: WebSocketSettings,
    pages: Pages,
    processes: Processes,
}

/// The steps of policy that a generation gets ready made.
pub(super) struct Steps {
    pub(super) authentication: Option<Authentication>,
    pub(super) stages: Stages,
    pub(super) limiter: Limiter,
    pub(super) answers: Answers,
    pub(super) audit: Audit,
}

impl Generation {
    /// # Errors
    /// Trusted proxies that are no addresses.
    pub(super) fn new(
        config: Config,
        directory: Arc<Directory>,
        processes: Processes,
        steps: Steps,
        process: &Process,
    ) -> Result<Self, ConfigError> {
        let policy = Policy::new(PolicySettings {
            trusted_proxies: &config.trusted_proxies,
            dialect: config.dialect,
            json: &config.transcoding().json,
            metadata: &config.metadata,
            deadline: &config.deadline,
            cors: &config.cors,
            conditional: &config.conditional,
            compression: &config.compression,
            codes: config.code_rules(),
            authentication: steps.authentication,
            authorization: &config.authorization,
            stages: steps.stages,
            limiter: steps.limiter,
            answers: steps.answers,
            audit: steps.audit,
        })?;
        let parts = ContextParts {
            policy,
            directory,
            dialect: config.dialect,
            errors: config.errors,
            max_body_bytes: config.max_body_bytes,
            upload_chunk_bytes: config.upload_chunk_bytes,
            sse_keep_alive: Duration::from_millis(config.sse_keep_alive_ms),
        };
        Ok(Self {
            context: Context::new(parts, process),
            websocket: config.websocket,
            pages: Pages::new(config.openapi, process),
            processes,
        })
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        self.context.directory()
    }

    pub(super) fn authentication(&self) -> Option<&Authentication> {
        self.context.policy().authentication()
    }

    /// Answers one request. The main steps, in their order; ARCHITECTURE.md lists all:
    ///
    /// | step | where |
    /// |---|---|
    /// | connections, probes, health checks, trace | the chassis, before this |
    /// | operators' calls of another process | `processes`, instead of the rest |
    /// | client address | here, `policy::client_address` |
    /// | CORS | here, by `cors` |
    /// | deadline | [`Self::answer`], `policy::deadline` |
    /// | sniff: which protocol | [`Self::answer`], `protocols::sniff` |
    /// | cross-site requests | [`Self::answer`], `cors::check_site` |
    /// | memory: the request's share of the budget | [`Self::answer`], `admission::Budget` |
    /// | route: which method, which upstream | [`Self::answer`], `Protocol::resolve` |
    /// | who calls | `Policy::authenticate` |
    /// | policy by request: authorize | `Policy::admit` |
    /// | rate limits | `Policy::limit` |
    /// | policy by message: validation | `policy::MessagePolicy`, for each message as it is sent |
    /// | admission: a slot of the upstream, fair between clients | `chassis::client` |
    /// | call | `call`, `chassis::client` |
    /// | render, or refuse | the protocol |
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        if Processes::concern(&request) {
            // Boxed to keep the future small.
            return Ok(self.processes.answer(request, &self).boxed().await);
        }
        let policy = self.context.policy();
        let mut request = drain_on_close(observe::count_body(request));
        policy.mark(&mut request);
        policy.client_address.identify(&mut request);
        // One view of the API for the whole request, whatever is learned meanwhile.
        let catalog = self.context.catalog();
        let mut origin = None;
        if let Some(cors) = &policy.cors {
            let is_served = |method: &http::Method| catalog.serves(method, request.uri().path());
            // A preflight asks about a request, in whichever protocol that will be.
            if let Some(response) = cors.preflight(&request, is_served) {
                return Ok(response);
            }
            origin = request.headers().get(ORIGIN).cloned();
        }
        let (mut head, body) = request.into_parts();
        let mut notice = Notice::default();
        let answered = self.answer(&catalog, &mut head, body, &mut notice);
        let mut response = answered.await;
        notice.put(response.headers_mut());
        policy.challenge(&mut response);
        if let Some(cors) = &policy.cors {
            cors.share(origin.as_ref(), response.headers_mut());
        }
        Ok(response)
    }

    /// The stages from the deadline on, for an operator; an API that is not `ready` is refused.
    pub(super) async fn answer_operator(
        &self,
        ready: Result<(), Fault>,
        head: &mut Parts,
        body: Body,
    ) -> Response<Body> {
        let catalog = self.context.catalog();
        let mut response = match ready {
            Ok(()) => {
                let notice = &mut Notice::default();
                self.answer(&catalog, head, body, notice).await
            }
            Err(fault) => {
                let protocol = Protocol::of(head, &catalog.schema);
                protocol.refuse(&self.context, &catalog, head, fault.into())
            }
        };
        self.context.policy().challenge(&mut response);
        response
    }

    /// The stages from the deadline on. The head stays with the caller, which keeps this future
    /// small.
    async fn answer(
        &self,
        catalog: &Arc<Catalog>,
        head: &mut Parts,
        body: Body,
        notice: &mut Notice,
    ) -> Response<Body> {
        let (context, policy) = (&self.context, self.context.policy());
        let deadline = policy.deadline(&head.headers);
        let protocol = Protocol::of(head, &catalog.schema);
        if let Err(failure) = self.receive(catalog, protocol, head) {
            return protocol.refuse(context, catalog, head, failure);
        }
        if protocol == Protocol::Rest
            && let Some(response) = self.answer_itself(catalog, head).await
        {
            return response;
        }
        if let Err(failure) = protocol.prepare(catalog, &self.websocket, head) {
            return protocol.refuse(context, catalog, head, failure);
        }
        let client = head.extensions.get().cloned().unwrap_or_default();
        let holding = match context.budget().admit(&client, head_bytes(head)) {
            Ok(holding) => holding,
            Err(excess) => return protocol.refuse(context, catalog, head, excess.into()),
        };
        head.extensions.insert(holding.clone());
        let resolved = match protocol.resolve(catalog, head, &head.uri) {
            Ok(resolved) => resolved,
            Err(failure) => return protocol.refuse(context, catalog, head, failure),
        };
        let deadline = match deadline {
            Ok(deadline) => deadline,
            Err(failure) => return protocol.refuse(context, catalog, head, failure),
        };
        let is_public = || catalog.is_public(resolved.callee(head).path);
        let passes_basic = policy.has_basic(&head.headers) && is_public();
        let (headers, extensions) = (&mut head.headers, &mut head.extensions);
        let authenticated = policy.authenticate(headers, extensions, deadline, passes_basic);
        let mut admitted = authenticated.await;
        if admitted.is_ok() {
            let request = RequestInfo::new(head, resolved.callee(head));
            admitted = self.admit(catalog, request, notice).await;
        }
        if let Err(failure) = admitted {
            let method = resolved.callee(head).path;
            let audit = &policy.audit;
            audit.refused(catalog, method, &head.extensions, &failure.status);
            return protocol.refuse(context, catalog, head, failure);
        }
        // Boxed to keep the future small.
        let response = match &resolved {
            Resolved::Rest(target) => {
                let served = protocols::serve_rest(context, catalog, target, deadline, head, body);
                holding.run(served).await
            }
            Resolved::WebSocket(target) => {
                let settings = &self.websocket;
                protocols::serve_websocket(context, settings, catalog, target, deadline, head)
                    .map(Ok)
                    .boxed()
                    .await
            }
            Resolved::Rpc(form, target) => {
                let (form, target) = (*form, *target);
                let request = Request::from_parts(take(head), body);
                let served = form.serve(context, catalog, target, deadline, request);
                holding.run(served).await
            }
        };
        holding.sent();
        let window = context.response_window();
        match response.and_then(|response| count_unread(holding, window, response)) {
            Ok(response) => response,
            Err(excess) => protocol.refuse(context, catalog, head, excess.into()),
        }
    }

    /// Notes what a request is, and refuses one of a page that may not ask.
    fn receive(
        &self,
        catalog: &Catalog,
        protocol: Protocol,
        head: &mut Parts,
    ) -> Result<(), Failure> {
        let policy = self.context.policy();
        let own = || client_address::origin(head);
        let checked = cors::check_site(head, own, policy.cors.as_ref());
        let checked = checked.map_err(|origin| Failure::cross_site(&origin));
        let overrides = protocol == Protocol::Rest && self.context.dialect().overrides_method();
        if checked.is_ok() && overrides {
            protocols::override_method(catalog, head);
        }
        protocol.note(head, &catalog.schema);
        policy.audit.note(&mut head.extensions, protocol.name());
        checked
    }

    /// Answers a request of the JSON API that is about the gateway itself.
    async fn answer_itself(
        &self,
        catalog: &Arc<Catalog>,
        head: &mut Parts,
    ) -> Option<Response<Body>> {
        if let Some(response) = self.context.policy().resource_metadata(head) {
            return Some(response);
        }
        if let Some(page) = self.pages.find(&catalog.schema, head) {
            return Some(self.show(page, catalog, head).boxed().await);
        }
        protocols::answer_options(catalog, head)
    }

    /// The policy by request; refusals tell of limits, too.
    async fn admit(
        &self,
        catalog: &Catalog,
        request: RequestInfo<'_>,
        notice: &mut Notice,
    ) -> Result<(), Failure> {
        let policy = self.context.policy();
        policy.admit(request, &catalog.access).await?;
        let limits = catalog.limits.of(request.rpc_method().unwrap_or_default());
        policy.limit(limits, &request, notice).await
    }

    async fn show(
        &self,
        page: surface::Page,
        catalog: &Arc<Catalog>,
        head: &mut Parts,
    ) -> Response<Body> {
        let callee = Callee {
            route: Some(page.route()),
            ..Callee::default()
        };
        let context = &self.context;
        let policy = context.policy();
        let authenticated =
            policy.authenticate(&mut head.headers, &mut head.extensions, None, false);
        let admitted = match authenticated.await {
            Ok(()) => {
                let request = RequestInfo::new(head, callee);
                policy.admit(request, &catalog.access).await
            }
            refused => refused,
        };
        match admitted {
            Ok(()) => page.answer(context, &self.pages, catalog, head).await,
            Err(failure) => Protocol::Rest.refuse(context, catalog, head, failure),
        }
    }
}

/// Returns about how much memory a head takes: its text, and 32 bytes of each field (RFC 9113
/// §6.5.2).
fn head_bytes(head: &Parts) -> usize {
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 32);
    let target = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    fields.sum::<usize>() + target
}

/// Counts a response as unread: by its length, else by the window that its upstream may fill. The
/// listener goes on.
fn count_unread(
    holding: Holding,
    window: usize,
    mut response: Response<Body>,
) -> Result<Response<Body>, Excess> {
    if !response.body().is_end_stream() {
        let length = response.body().size_hint().exact();
        let window = length.map_or(window, |length| usize::try_from(length).unwrap_or(window));
        holding.unread(window)?;
        response.extensions_mut().insert(Unread { holding, window });
    }
    Ok(response)
}

/// The head, of which an empty one stays.
fn take(head: &mut Parts) -> Parts {
    let (empty, ()) = Request::new(()).into_parts();
    std::mem::replace(head, empty)
}
