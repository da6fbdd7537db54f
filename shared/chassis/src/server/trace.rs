//! One span per request, child of the caller's, alive until the last byte; and the guard against panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, Response, header};
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::error::{GRPC_STATUS, internal};
use crate::telemetry;

/// A response body that is part of its span: the span ends with it and learns the status from its trailers.
pub(crate) struct Traced {
    source: Body,
    span: Span,
}

/// Runs the request in a span that continues the trace of the caller.
///
/// A service that serves arbitrary paths may record `http.route` and `otel.name` on the current span.
pub(crate) async fn enforce<S, B>(
    inner: S,
    request: Request<B>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let span = server_span(&request);
    telemetry::extract(&span, request.headers());
    let response = inner.oneshot(request).instrument(span.clone()).await?;
    span.record("http.response.status_code", response.status().as_u16());
    Ok(Traced::wrap(response, span))
}

/// Answers INTERNAL for a handler that panics.
pub(crate) async fn guard<S, B>(inner: S, request: Request<B>) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    // The request is gone with the panic and nothing else is shared, so no broken state can be seen.
    let outcome = AssertUnwindSafe(inner.oneshot(request))
        .catch_unwind()
        .await;
    outcome.unwrap_or_else(|_| {
        // The panic hook has printed message and place already.
        let fault = internal(anyhow::anyhow!("handler panicked"));
        Ok(Status::from(fault).into_http())
    })
}

// Names and attributes are those of the OpenTelemetry semantic conventions for HTTP and RPC.
fn server_span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    let method = request.method().as_str();
    if !is_grpc(request.headers()) {
        // A path in the name would make as many names as there are paths.
        return tracing::info_span!(
            "request",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = Empty,
            http.response.status_code = Empty,
            url.path = path,
            rpc.system.name = Empty,
            rpc.method = Empty,
            rpc.response.status_code = Empty,
        );
    }
    let name = path.strip_prefix('/').unwrap_or(path);
    tracing::info_span!(
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.response.status_code = Empty,
        http.route = Empty,
        rpc.system.name = "grpc",
        rpc.method = name,
        rpc.response.status_code = Empty,
    )
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

// === impl Traced ===

impl Traced {
    /// Ties the body of a response to `span`.
    pub(crate) fn wrap(response: Response<Body>, span: Span) -> Response<Body> {
        record_status(&span, response.headers());
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|source| Body::new(Self { source, span }))
    }
}

impl http_body::Body for Traced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let polled = Pin::new(&mut this.source).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            record_status(&this.span, trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.source.size_hint()
    }
}

/// Notes the status of a call in its span, if the headers or trailers hold one.
pub(crate) fn record_status(span: &Span, headers: &HeaderMap) {
    let Some(code) = headers.get(GRPC_STATUS).and_then(|code| code.to_str().ok()) else {
        return;
    };
    span.record("rpc.response.status_code", code);
    if code != "0" {
        span.record("otel.status_code", "ERROR");
    }
}
