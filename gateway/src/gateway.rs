//! The path of every request: which protocol it speaks, and who answers it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::Process;
use http::header::ORIGIN;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::Span;
use transcoder::Match;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::directory::Directory;
use crate::edge::Edge;
use crate::{call, native, rest, status, websocket};

/// What every request of one generation shares; clones are the same generation.
#[derive(Clone)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    edge: Edge,
    config: Config,
    directory: Arc<Directory>,
    max_message_bytes: usize,
    body_stall_timeout: Duration,
    draining: CancellationToken,
}

impl Gateway {
    pub(crate) fn new(config: Config, directory: Arc<Directory>, process: &Process) -> Self {
        let settings = process.settings();
        Self {
            shared: Arc::new(Shared {
                edge: Edge::new(&config),
                config,
                directory,
                max_message_bytes: settings.max_message_bytes,
                body_stall_timeout: settings.listener.body_stall_timeout(),
                draining: process.draining(),
            }),
        }
    }

    /// Answers one request. Before, the chassis has bounded the connections, answered the probes and health checks, and opened the
    /// span of the request.
    pub(crate) async fn serve(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let request = request.map(Body::new);
        // One view of the API for the whole request, whatever is learned meanwhile.
        let catalog = self.directory().catalog();
        if request.uri().path() == status::PATH {
            return Ok(status::serve(&self, request.method()).await);
        }
        let Some(cors) = &self.edge().cors else {
            return Ok(self.answer(&catalog, request).await);
        };
        // A preflight asks about a request, in whichever protocol that will be.
        if let Some(response) = cors.preflight(&catalog, &request) {
            return Ok(response);
        }
        let origin = request.headers().get(ORIGIN).cloned();
        let mut response = self.answer(&catalog, request).await;
        cors.share(origin.as_ref(), response.headers_mut());
        Ok(response)
    }

    async fn answer(&self, catalog: &Arc<Catalog>, request: Request<Body>) -> Response<Body> {
        // 1. Native gRPC says so in its content type, and may use any path.
        if call::is_grpc(request.headers()) {
            return native::serve(self, catalog, request).await;
        }
        // 2. A WebSocket says so in its handshake. Its path is one of the JSON API, whatever the method of the route is.
        if websocket::is_asked_for(&request) {
            return websocket::serve(self, catalog, request).await;
        }
        // 3. Everything else is the JSON API.
        rest::serve(self, catalog, request).await
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.shared.edge
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn shared_directory(&self) -> Arc<Directory> {
        self.shared.directory.clone()
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.shared.max_message_bytes
    }

    /// How long the next byte of a body that is one message may keep waiting.
    pub(crate) fn body_stall_timeout(&self) -> Duration {
        self.shared.body_stall_timeout
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }
}

/// Names the span of the request by what was matched, never by the raw path, of which there are unboundedly many
/// (OpenTelemetry semantic conventions, HTTP server spans).
pub(crate) fn name_span(http_method: &http::Method, matched: &Match<'_>) {
    let route = matched.route().template();
    let span = Span::current();
    span.record("otel.name", format!("{http_method} {route}"));
    span.record("http.route", route);
    span.record("rpc.system.name", "grpc");
    span.record(
        "rpc.method",
        matched.method().path().trim_start_matches('/'),
    );
}
