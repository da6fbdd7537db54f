//! The way to another service: its endpoints behind one client, with trace, deadline, balance and safe retries around every call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use contract::Method;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tower::retry::budget::TpsBudget;
use tracing::{Instrument, Span};

use rpc::config::ConfigError;
use rpc::deadline;
use rpc::error::Fault;
use rpc::safety::Safety;
use telemetry::metrics::{self, Metrics};

use crate::breaker::Breaker;
use crate::cluster::Cluster;
use crate::payload::{Payload, Rest};
use crate::reply::Reply;
use crate::retry;
use crate::settings::address::Address;
use crate::settings::{ClientSettings, UpstreamSettings, VersionSettings};
use crate::split::{Mirror, Split, Version};
use crate::tls::Tls;

#[cfg(test)]
mod tests;

/// A service elsewhere, for `OrderServiceClient::new(upstream)`; clones share connections, retry budget and circuit breaker.
///
/// Each call carries the trace of the current span and `grpc-timeout`, the smaller one of the current deadline
/// ([`rpc::deadline::remaining`]) and the call's own. It goes to the less loaded of two random endpoints. A call that
/// no server can have seen is sent to another endpoint; one that is repeatable ([`Safety`]) is sent again on
/// UNAVAILABLE, at most twice and within a budget. Dropping a response cancels its call.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
    is_pinned: bool,
}

struct Shared {
    settings: UpstreamSettings,
    split: Split,
    mirror: Option<Mirror>,
    methods: HashMap<&'static str, Safety>,
    budget: TpsBudget,
    breaker: Breaker,
    counts: OnceLock<Arc<metrics::Upstream>>,
}

// === impl Upstream ===

impl Upstream {
    /// Makes a client for `url` (`http://host:port`) that connects with its first call and reconnects by itself.
    ///
    /// Needs a tokio runtime around it.
    ///
    /// # Errors
    /// A URL that is not of that form, and settings that do not fit.
    pub fn connect_lazy(
        url: &str,
        settings: &ClientSettings,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        Self::new(UpstreamSettings::at(url, settings), "upstream", methods)
    }

    /// Makes a client for all that the settings name; `key` is where they come from, for errors.
    ///
    /// Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Names the setting that does not fit, or whose file cannot be used.
    pub fn new(
        settings: UpstreamSettings,
        key: &str,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        settings.validate(key)?;
        let client = Arc::new(settings.client.clone());
        let tls = tls(&settings, key)?;
        let cluster = |name: &str, urls: &[String]| {
            // They were parsed by `validate`.
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
        let methods = methods
            .iter()
            .map(|method| (method.path, Safety::of(method)));
        Ok(Self {
            is_pinned: false,
            shared: Arc::new(Shared {
                split,
                mirror,
                methods: methods.collect(),
                budget: retry::budget(),
                breaker: Breaker::new(&client),
                counts: OnceLock::new(),
                settings,
            }),
        })
    }

    /// Has its attempts counted, under its name. The first count stays.
    #[must_use]
    pub fn counted(self, metrics: &Metrics) -> Self {
        let name = &self.shared.settings.name;
        self.shared.counts.get_or_init(|| metrics.upstream(name));
        self
    }

    /// What it was made from: another with equal settings would be the same.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.shared.settings
    }

    /// The same upstream without its versions and its mirror, for calls that should always meet the same API.
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
        given_up: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let shared = &*self.shared;
        let permit = shared.breaker.enter().await?;
        let safety = shared.safety(&request);
        let (head, body) = request.into_parts();
        let rest = match (safety, head.extensions.get()) {
            (Safety::Unknown, None) => Rest::Streamed,
            (Safety::Unknown, Some(OneMessage)) => Rest::Gathered,
            _ => Rest::Kept,
        };
        let payload = Payload::of(body, rest).await?;
        let cluster = if self.is_pinned {
            &shared.split.main
        } else {
            if let Some(mirror) = &shared.mirror {
                mirror.copy(&head, &payload, deadline);
            }
            shared.split.choose(&head.headers)
        };
        let call = retry::Call {
            cluster,
            breaker: &shared.breaker,
            budget: &shared.budget,
            counts: shared.counts.get().map(Arc::as_ref),
            head,
            deadline,
            safety,
            hedge_after: shared.settings.client.hedge_after(),
            tried: Mutex::default(),
        };
        let answer = call.run(payload).await?;
        let span = Span::current();
        Ok(Reply::of(answer, given_up, cluster.clone(), span, permit))
    }
}

/// Extension of a request: how long its call may outlive its deadline, of which the peer is told all the same. For callers who
/// have a better way to end a call at its deadline than to drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(pub Duration);

/// Extension of a request: its body is one message. A small one is sent when it is there as a whole, which is less work than to
/// send it as it arrives; a server can do nothing before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneMessage;

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // What there is to wait for is awaited per call: a call that waits must run out of time like any other.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = match deadline::from_headers(request.headers()) {
            Ok(own) => [own, deadline::current()].into_iter().flatten().min(),
            Err(fault) => return std::future::ready(Err(fault.into())).boxed(),
        };
        let span = client_span(&request, &self.shared.settings.name);
        let grace = request.extensions().get::<Grace>().map(|grace| grace.0);
        let given_up = deadline.map(|deadline| deadline + grace.unwrap_or_default());
        let call = self
            .clone()
            .send(request, deadline, given_up)
            .instrument(span);
        match given_up {
            None => call.boxed(),
            // Also here, because the peer may be the one that hangs.
            Some(given_up) => timeout_at(given_up, call)
                .map(move |timely| match timely {
                    // The peer watches the same deadline, and some call its end CANCELLED.
                    Ok(outcome) if Instant::now() < given_up => outcome,
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
        let own = request.extensions().get::<Safety>();
        let of_method = || self.methods.get(request.uri().path());
        own.or_else(of_method).copied().unwrap_or_default()
    }
}

/// Only where something is reached by https: elsewhere nobody needs roots of the system.
fn tls(settings: &UpstreamSettings, key: &str) -> Result<Option<Tls>, ConfigError> {
    let versions = settings.versions.iter().map(|version| &version.endpoints);
    let mirror = settings.mirror.iter().map(|mirror| &mirror.endpoints);
    let mut urls = std::iter::once(&settings.endpoints)
        .chain(versions)
        .chain(mirror);
    let is_needed = urls.any(|urls| urls.iter().any(|url| url.starts_with("https:")));
    is_needed.then(|| Tls::new(&settings.tls, key)).transpose()
}

fn headers(version: &VersionSettings) -> Vec<(HeaderName, HeaderValue)> {
    let parsed = version.headers.iter().map(|(name, value)| {
        // Names and values were checked by `validate`.
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
