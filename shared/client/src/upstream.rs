//! A service elsewhere as one client: trace, deadline, circuit breaker, load balancing and safe
//! retries for every call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use admission::{Client, Hold, Holding, Limiter};
use auth::internal::Signer;
use contract::{Criticality, Method, MethodKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response};
use rpc::config::ConfigError;
use rpc::deadline;
use rpc::error::Fault;
use rpc::safety::Safety;
use telemetry::metrics::{self, Metrics};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tower::retry::budget::TpsBudget;
use tracing::{Instrument, Span};

use crate::breaker::Breaker;
use crate::cluster::Cluster;
use crate::payload::{Buffering, Payload};
use crate::response::ResponseBody;
use crate::retry;
use crate::settings::address::Address;
use crate::settings::{ClientSettings, UpstreamSettings, VersionSettings};
use crate::split::{Mirror, Split, Version};
use crate::tls::Tls;

mod identity;
#[cfg(test)]
mod tests;

/// A service elsewhere, for `OrderServiceClient::new(upstream)`; clones share connections, retry
/// budget and circuit breaker.
///
/// Each call carries the trace of the current span, and in `grpc-timeout` the earlier of the
/// current deadline ([`rpc::deadline::remaining`]) and its own. If the process signs its calls, it
/// carries the identity of whom the current task serves ([`auth::internal::current`]). It goes to
/// the less loaded of two random endpoints. A call that no server can have seen is sent to another
/// endpoint; a repeatable one ([`Safety`]) is sent again on UNAVAILABLE, at most twice and within a
/// budget. Dropping a response cancels its call.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
    is_pinned: bool,
}

struct Shared {
    settings: UpstreamSettings,
    split: Split,
    mirror: Option<Mirror>,
    methods: HashMap<&'static str, &'static Method>,
    budget: TpsBudget,
    breaker: Breaker,
    limiter: Limiter,
    counts: OnceLock<Arc<metrics::Upstream>>,
    signer: OnceLock<Arc<Signer>>,
}

// === impl Upstream ===

impl Upstream {
    /// Creates a client for `url` (`http://host:port`) that connects with its first call and
    /// reconnects by itself.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// A malformed URL, and invalid settings.
    pub fn connect_lazy(
        url: &str,
        settings: &ClientSettings,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        Self::new(UpstreamSettings::at(url, settings), "upstream", methods)
    }

    /// Creates a client from settings; `key` names their source in errors.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// The setting that is invalid, or whose file cannot be used.
    pub fn new(
        settings: UpstreamSettings,
        key: &str,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        settings.validate(key)?;
        let client = Arc::new(settings.client.clone());
        let tls = tls(&settings, key)?;
        let cluster = |name: &str, urls: &[String]| {
            // `validate` has parsed them.
            let addresses = urls.iter().filter_map(|url| Address::parse(url).ok());
            let addresses = addresses.collect();
            Arc::new(Cluster::new(name, addresses, tls.clone(), client.clone()))
        };
        let versions = settings.versions.iter().map(|version| Version {
            cluster: cluster(&version.name, &version.endpoints),
            percent: version.percent,
            headers: headers(version),
        });
        let split = Split {
            main: cluster(&settings.name, &settings.endpoints),
            versions: versions.collect(),
        };
        let mirror = settings.mirror.as_ref().map(|mirror| Mirror {
            cluster: cluster("mirror", &mirror.endpoints),
            percent: mirror.percent,
            permits: Arc::new(Semaphore::new(mirror.max_requests)),
        });
        let methods = methods.iter().map(|method| (method.path, method));
        Ok(Self {
            is_pinned: false,
            shared: Arc::new(Shared {
                split,
                mirror,
                methods: methods.collect(),
                budget: retry::budget(),
                breaker: Breaker::new(&client),
                limiter: Limiter::new(&client.admission()),
                counts: OnceLock::new(),
                signer: OnceLock::new(),
                settings,
            }),
        })
    }

    /// Counts the attempts under the upstream's name. The first call decides.
    #[must_use]
    pub fn counted(self, metrics: &Metrics) -> Self {
        let name = &self.shared.settings.name;
        let limiter = self.shared.limiter.clone();
        self.shared.counts.get_or_init(|| {
            metrics.limit(name, limiter);
            metrics.upstream(name)
        });
        self
    }

    /// Signs the calls, in place of the signer of the process. The first call decides.
    #[must_use]
    pub fn signed(self, signer: Arc<Signer>) -> Self {
        self.shared.signer.get_or_init(|| signer);
        self
    }

    /// Returns the state of the adaptive limit; `None` without one.
    pub fn limit(&self) -> Option<admission::Status> {
        self.shared.limiter.status()
    }

    /// Returns the settings; an upstream with equal ones would behave the same.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.shared.settings
    }

    /// Returns the upstream without its versions and its mirror, for calls that must always reach
    /// the same API.
    #[must_use]
    pub fn main_version(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            is_pinned: true,
        }
    }

    async fn send(
        self,
        request: Request<Body>,
        deadline: Option<Instant>,
        abandoned_at: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let shared = &*self.shared;
        let permit = shared.breaker.enter().await?;
        let safety = shared.safety(&request);
        let (head, body) = request.into_parts();
        let buffering = match (safety, head.extensions.get()) {
            (Safety::Unknown, None) => Buffering::None,
            (Safety::Unknown, Some(OneMessage)) => Buffering::OneMessage,
            _ => Buffering::Replay,
        };
        let payload = Payload::of(body, buffering).await?;
        let mut hold = match self.is_pinned {
            // The API of the upstream, which everything else depends on.
            true => None,
            false => Some(shared.admit(&head, deadline).await?),
        };
        let cluster = if self.is_pinned {
            &shared.split.main
        } else {
            if let Some(mirror) = &shared.mirror {
                mirror.copy(&head, &payload, deadline);
            }
            shared.split.choose(&head.headers)
        };
        let caller = head.extensions.get::<Caller>();
        let call = retry::Call {
            holding: caller.and_then(|caller| caller.holding.clone()),
            cluster,
            breaker: &shared.breaker,
            budget: &shared.budget,
            counts: shared.counts.get().map(Arc::as_ref),
            head,
            deadline,
            safety,
            is_limited: shared.settings.client.adaptive_limit,
            hedge_after: shared.settings.client.hedge_after(),
            tried: Mutex::default(),
        };
        let answer = call.run(payload).await.inspect_err(|status| {
            if let Some(hold) = &mut hold {
                hold.failed(status);
            }
        })?;
        let span = Span::current();
        Ok(ResponseBody::of(
            answer,
            abandoned_at,
            cluster.clone(),
            span,
            permit,
            hold,
        ))
    }
}

/// Extension of a request: how long its call may outlive its deadline, which is sent to the peer
/// unchanged. For callers that end a call at its deadline in a better way than dropping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(pub Duration);

/// Extension of a request: its body is one message. A small one is sent once it is complete, which
/// is less work than sending it as it arrives; a server can't begin before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneMessage;

/// Extension of a request: on whose behalf a call is made, and its method's policy under overload.
/// Without it, the policy is that of the method table, and the caller is this process.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The client that the call is counted for.
    pub client: Client,
    /// The criticality of the method.
    pub criticality: Criticality,
    /// The kind of the method; `None` if it is unknown.
    pub kind: Option<MethodKind>,
    /// The memory of the client's request, held for as long as the call runs.
    pub holding: Option<Holding>,
    /// The caller, as the process that passes the call on has found; `None` if anonymous.
    pub identity: Option<Arc<auth::Identity>>,
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Each call waits by itself, so that its deadline applies.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Err(fault) = self.shared.identify(&mut request) {
            return std::future::ready(Err(fault.into())).boxed();
        }
        let deadline = match deadline::from_headers(request.headers()) {
            Ok(own) => [own, deadline::current()].into_iter().flatten().min(),
            Err(fault) => return std::future::ready(Err(fault.into())).boxed(),
        };
        let span = client_span(&request, &self.shared.settings.name);
        let grace = request.extensions().get::<Grace>().map(|grace| grace.0);
        let abandoned_at = match deadline {
            Some(deadline) => Some(deadline + grace.unwrap_or_default()),
            None => self.shared.patience(&request),
        };
        let call = self
            .clone()
            .send(request, deadline, abandoned_at)
            .instrument(span);
        match abandoned_at {
            None => call.boxed(),
            // Enforced here too: the peer may hang.
            Some(abandoned_at) => timeout_at(abandoned_at, call)
                .map(move |timely| match timely {
                    // The peer enforces the same deadline, and some report CANCELLED.
                    Ok(outcome) if Instant::now() < abandoned_at => outcome,
                    _ => Err(Fault::deadline_exceeded().into()),
                })
                .boxed(),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("name", &self.shared.settings.name)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn safety(&self, request: &Request<Body>) -> Safety {
        let own = request.extensions().get::<Safety>().copied();
        let of_method = || self.methods.get(request.uri().path());
        own.or_else(|| of_method().map(|method| Safety::of(method)))
            .unwrap_or_default()
    }

    /// Returns when a call without a deadline is given up. Streams may be idle for as long as both
    /// ends like.
    fn patience(&self, request: &Request<Body>) -> Option<Instant> {
        let of_caller = request.extensions().get::<Caller>().map(|of| of.kind);
        let of_method = || self.methods.get(request.uri().path()).map(|of| of.kind);
        let kind = of_caller.unwrap_or_else(of_method)?;
        let timeout = self.settings.client.unanswered_timeout()?;
        let is_unary = kind == MethodKind::Unary;
        is_unary.then(|| Instant::now() + timeout)
    }

    /// Waits for a slot of the adaptive limit.
    async fn admit(&self, head: &Parts, deadline: Option<Instant>) -> Result<Hold, Status> {
        let path = head.uri.path();
        let of_method = || self.methods.get(path);
        let caller = head.extensions.get::<Caller>().cloned();
        let caller = caller.or_else(|| {
            of_method().map(|method| Caller {
                client: Client::Unknown,
                criticality: method.criticality,
                kind: Some(method.kind),
                holding: None,
                identity: None,
            })
        });
        let caller = caller.unwrap_or_default();
        let request = admission::Request {
            client: caller.client,
            criticality: caller.criticality,
            deadline,
            class: admission::Request::class_of(path),
        };
        let permit = self.limiter.admit(&request).await?;
        Ok(Hold::new(permit, caller.kind))
    }
}

/// Loads TLS only if an endpoint is https; others need no roots of the system.
fn tls(settings: &UpstreamSettings, key: &str) -> Result<Option<Tls>, ConfigError> {
    let versions = settings.versions.iter().map(|version| &version.endpoints);
    let mirror = settings.mirror.iter().map(|mirror| &mirror.endpoints);
    let mut urls = std::iter::once(&settings.endpoints)
        .chain(versions)
        .chain(mirror);
    let is_needed = urls.any(|urls| urls.iter().any(|url| url.starts_with("https:")));
    let (tls, key) = settings.tls(key);
    is_needed.then(|| Tls::new(tls, key)).transpose()
}

fn headers(version: &VersionSettings) -> Vec<(HeaderName, HeaderValue)> {
    let parsed = version.headers.iter().map(|(name, value)| {
        // `validate` has checked names and values.
        Some((name.parse().ok()?, value.parse().ok()?))
    });
    parsed.flatten().collect()
}

fn client_span(request: &Request<Body>, name: &str) -> Span {
    let path = request.uri().path();
    let method = path.strip_prefix('/').unwrap_or(path);
    tracing::info_span!(
        target: "trace",
        "call",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        server.address = name,
    )
}
