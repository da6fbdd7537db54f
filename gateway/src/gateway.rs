//! The path of every request: which protocol it speaks, and who answers it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::Process;
use chassis::config::ConfigError;
use chassis::{metrics, observe};
use futures::FutureExt;
use http::header::ORIGIN;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use transcoder::Match;

use crate::catalog::Catalog;
use crate::config::Config;
use crate::directory::Directory;
use crate::edge::Edge;
use crate::forwarded::Trust;
use crate::grpc_web::Encoding;
use crate::protocol::Protocol;
use crate::{connect, error, grpc_web, lingering, native, pages, rest, websocket};

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
    response_stall_timeout: Duration,
    trust: Trust,
    draining: CancellationToken,
}

impl Gateway {
    /// # Errors
    /// Trusted proxies that are no addresses.
    pub(crate) fn new(
        config: Config,
        directory: Arc<Directory>,
        process: &Process,
    ) -> Result<Self, ConfigError> {
        let settings = process.settings();
        Ok(Self {
            shared: Arc::new(Shared {
                edge: Edge::new(&config),
                trust: Trust::parse(&config.trusted_proxies)?,
                config,
                directory,
                max_message_bytes: settings.max_message_bytes,
                body_stall_timeout: settings.listener.body_stall_timeout(),
                response_stall_timeout: settings.listener.response_stall_timeout(),
                draining: process.draining(),
            }),
        })
    }

    /// Answers one request. Before, the chassis has bounded the connections, answered the probes and health checks, and opened the
    /// span of the request.
    pub(crate) async fn serve(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let mut request = lingering::linger(observe::count_body(request));
        // Who the client is concerns every protocol, and what it says about that itself concerns none.
        self.shared.trust.identify(&mut request);
        // One view of the API for the whole request, whatever is learned meanwhile.
        let catalog = self.directory().catalog();
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
        let protocol = Protocol::of(&request, &catalog.schema);
        protocol.note(&request, &catalog.schema);
        // What is large is in boxes of its own, so that the others need not make room for it.
        match protocol {
            Protocol::Grpc(codec) => native::serve(self, catalog, codec, request).await,
            Protocol::GrpcWeb(codec) => {
                let binary = Encoding::Binary;
                grpc_web::serve(self, catalog, binary, codec, request)
                    .boxed()
                    .await
            }
            Protocol::GrpcWebText(codec) => {
                let text = Encoding::Text;
                grpc_web::serve(self, catalog, text, codec, request)
                    .boxed()
                    .await
            }
            Protocol::ConnectUnary(codec) => {
                connect::unary(self, catalog, codec, request).boxed().await
            }
            Protocol::ConnectGet => connect::get(self, catalog, request).boxed().await,
            Protocol::ConnectStream(codec) => {
                connect::stream(self, catalog, codec, request).boxed().await
            }
            Protocol::ConnectMismatch => connect::mismatch(catalog, &request),
            Protocol::WebSocket => websocket::serve(self, catalog, request).boxed().await,
            // What the gateway shows of itself has paths of its own.
            Protocol::Rest => match pages::find(self, &request) {
                Some(page) => page.answer(self, catalog, request).boxed().await,
                None => rest::serve(self, catalog, request).await,
            },
        }
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

    /// An error of the gateway's own, as callers of the RPC protocols see it.
    pub(crate) fn own_error(&self, status: Status) -> Status {
        match self.config().errors.reasons {
            true => status,
            false => error::without_reason(status),
        }
    }

    /// The largest message of a request, in bytes.
    pub(crate) fn max_request_bytes(&self) -> usize {
        self.config().max_body_bytes.min(self.max_message_bytes())
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.shared.max_message_bytes
    }

    /// How long the next byte of a body that is one message may keep waiting.
    pub(crate) fn body_stall_timeout(&self) -> Duration {
        self.shared.body_stall_timeout
    }

    /// How long a client may leave a response unread.
    pub(crate) fn response_stall_timeout(&self) -> Duration {
        self.shared.response_stall_timeout
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
    observed.call(matched.method().path(), metrics::Protocol::HTTP);
    observed.upstream(upstream);
}
