//! The path of every request: which protocol it speaks, and who answers it.

use std::convert::Infallible;
use std::sync::Arc;

use chassis::Process;
use chassis::metrics::Protocol;
use chassis::observe;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use transcoder::Match;

use crate::config::Config;
use crate::directory::Directory;
use crate::{call, native, pages, rest, websocket};

/// What every request shares; clones are the same gateway.
#[derive(Clone)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    directory: Arc<Directory>,
    process: Process,
    draining: CancellationToken,
}

impl Gateway {
    pub(crate) fn new(config: Config, directory: Arc<Directory>, process: Process) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                directory,
                draining: process.draining(),
                process,
            }),
        }
    }

    /// Answers one request. Before, the chassis has bounded the connections, answered the probes and health checks, and opened the
    /// span of the request.
    pub(crate) async fn serve(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let request = observe::count_body(request);
        // One view of the API for the whole request, whatever is learned meanwhile.
        let catalog = self.directory().catalog();
        // 1. Native gRPC says so in its content type, and may use any path.
        if call::is_grpc(request.headers()) {
            return Ok(native::serve(&self, &catalog, request).await);
        }
        // 2. A WebSocket says so in its handshake. Its path is one of the JSON API, whatever the method of the route is.
        if websocket::is_asked_for(&request) {
            return Ok(websocket::serve(&self, &catalog, request).await);
        }
        // 3. What the gateway shows of itself has paths of its own.
        if let Some(page) = pages::find(&self, &request) {
            return Ok(page.answer(&self, &catalog, request).await);
        }
        // 4. Everything else is the JSON API.
        Ok(rest::serve(&self, &catalog, request).await)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.shared.process.settings().max_message_bytes
    }

    /// Runs what goes on behind the answer of a request, an upgraded connection; the drain waits for it.
    pub(crate) fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.shared.process.track(work);
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }
}

/// Notes what was matched and who serves it, never the raw path, of which there are unboundedly many (OpenTelemetry semantic
/// conventions, HTTP server spans).
pub(crate) fn note_match(matched: &Match<'_>, upstream: &str) {
    let observed = observe::current();
    observed.route(matched.route().template());
    observed.call(matched.method().path(), Protocol::Rest);
    observed.upstream(upstream);
}
