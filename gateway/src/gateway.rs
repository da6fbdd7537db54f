//! The path of every request: which protocol it speaks, and who answers it.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tracing::Span;
use transcoder::Match;

use crate::config::Config;
use crate::directory::Directory;
use crate::grpc_web::Encoding;
use crate::protocol::Protocol;
use crate::{connect, grpc_web, native, rest};

/// What every request shares; clones are the same gateway.
#[derive(Clone)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    directory: Arc<Directory>,
    max_message_bytes: usize,
    draining: CancellationToken,
}

impl Gateway {
    pub(crate) fn new(
        config: Config,
        directory: Arc<Directory>,
        max_message_bytes: usize,
        draining: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                directory,
                max_message_bytes,
                draining,
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
        let (head, body) = request.into_parts();
        let protocol = Protocol::of(&head, &catalog.schema);
        let request = Request::from_parts(head, body);
        let (gateway, catalog) = (&self, &catalog);
        Ok(match protocol {
            Protocol::Grpc(codec) => native::serve(gateway, catalog, codec, request).await,
            Protocol::GrpcWeb(codec) => {
                grpc_web::serve(gateway, catalog, Encoding::Binary, codec, request).await
            }
            Protocol::GrpcWebText(codec) => {
                grpc_web::serve(gateway, catalog, Encoding::Text, codec, request).await
            }
            Protocol::ConnectUnary(codec) => {
                connect::unary(gateway, catalog, codec, request).await
            }
            Protocol::ConnectGet => connect::get(gateway, catalog, request).await,
            Protocol::ConnectStream(codec) => {
                connect::stream(gateway, catalog, codec, request).await
            }
            Protocol::ConnectMismatch => connect::mismatch(catalog, &request),
            Protocol::Rest => rest::serve(gateway, catalog, request).await,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.shared.max_message_bytes
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
