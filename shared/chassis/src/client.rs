//! The way to another service: one lazy connection with trace, deadline and safe retries around every call.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use schema::{Method, MethodKind};
use serde::Deserialize;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::retry::budget::TpsBudget;
use tower::{Service, ServiceExt};
use tracing::{Instrument, Span};

use crate::config::ConfigError;
use crate::error::{self, Fault};
use crate::policy::deadline::{self, Bounded, GRPC_TIMEOUT, LastFrame};
use crate::server::trace::Traced;
use crate::telemetry;

mod details;
mod retry;

#[cfg(test)]
mod tests;

/// Between pings, also without calls: the next call should not be the one that finds out that the peer vanished.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long a ping may stay unanswered before the connection is replaced.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys under `[client]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClientSettings {
    /// Bound of one attempt to connect, in milliseconds.
    pub connect_timeout_ms: u64,
}

/// A service elsewhere, for `OrderServiceClient::new(upstream)`; clones share one connection and one retry budget.
///
/// Each call carries the trace of the current span and `grpc-timeout`, the smaller one of the current deadline
/// ([`crate::deadline::remaining`]) and the call's own. Unary calls that the contract declares repeatable are
/// sent again on UNAVAILABLE, at most twice.
#[derive(Clone)]
pub struct Upstream {
    channel: Channel,
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    replayable: HashMap<&'static str, &'static Method>,
    budget: TpsBudget,
}

// === impl Upstream ===

impl Upstream {
    /// Makes a client for `url` (`http://host:port`) that connects with its first call and reconnects by itself.
    ///
    /// Needs a tokio runtime around it.
    ///
    /// # Errors
    /// A URL that is not of that form.
    pub fn connect_lazy(
        url: &str,
        settings: &ClientSettings,
        methods: &'static [Method],
    ) -> Result<Self, ConfigError> {
        let channel = endpoint(url)?
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let replayable = methods
            .iter()
            .filter(|method| method.kind == MethodKind::Unary && method.retry_safe())
            .map(|method| (method.path, method));
        Ok(Self {
            channel,
            shared: Arc::new(Shared {
                url: url.to_owned(),
                replayable: replayable.collect(),
                budget: retry::budget(),
            }),
        })
    }

    async fn send(
        self,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let path = request.uri().path();
        if self.shared.replayable.contains_key(path) {
            let budget = &self.shared.budget;
            let attempt = |request| self.attempt(request, deadline);
            retry::run(budget, attempt, request, deadline).await
        } else {
            self.attempt(request, deadline).await
        }
    }

    async fn attempt(
        &self,
        mut request: Request<Body>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let headers = request.headers_mut();
        if let Some(deadline) = deadline {
            // Here and not earlier: a second attempt has less time than the first one had.
            headers.insert(GRPC_TIMEOUT, deadline::header_value(deadline));
        }
        telemetry::inject(&Span::current(), headers);
        let response = self.channel.clone().oneshot(request).await;
        // Before anything reads the status, as the retry, the trace and tonic do.
        response
            .map(details::mend)
            .map_err(|error| error::from_source(error.into()))
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // The channel is awaited per attempt: a call that waits for it must run out of time like any other.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = match deadline::from_headers(request.headers()) {
            Ok(own) => [own, deadline::current()].into_iter().flatten().min(),
            Err(fault) => return std::future::ready(Err(fault.into())).boxed(),
        };
        let span = client_span(&request, &self.shared.url);
        let call = self
            .clone()
            .send(request, deadline)
            .instrument(span.clone());
        let bounded = async move {
            let Some(deadline) = deadline else {
                return Ok(Traced::wrap(call.await?, span));
            };
            // Also here, because the peer may be the one that hangs.
            let response = tokio::time::timeout_at(deadline, call)
                .await
                .map_err(|_| Status::from(Fault::deadline_exceeded()))??;
            let response = response.map(|body| Bounded::wrap(body, deadline, LastFrame::Error));
            Ok(Traced::wrap(response, span))
        };
        bounded.boxed()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstream")
            .field("url", &self.shared.url)
            .finish_non_exhaustive()
    }
}

// === impl ClientSettings ===

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 2000,
        }
    }
}

fn endpoint(url: &str) -> Result<Endpoint, ConfigError> {
    let refused = || {
        let problem = format!("expected http://host:port, got `{url}`");
        ConfigError::new("upstream URL", problem, "the configuration")
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| refused())?;
    let uri = endpoint.uri();
    let usable = uri.scheme_str() == Some("http") && uri.host().is_some();
    if usable { Ok(endpoint) } else { Err(refused()) }
}

fn client_span(request: &Request<Body>, url: &str) -> Span {
    let path = request.uri().path();
    let name = path.strip_prefix('/').unwrap_or(path);
    tracing::info_span!(
        target: "trace",
        "call",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = name,
        rpc.response.status_code = tracing::field::Empty,
        server.address = url,
    )
}
