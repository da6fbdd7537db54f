//! The span of a call that is alive until the last byte of its answer, and the guard against handlers that panic.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use tonic::{Code, Status};
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tracing::Span;

use crate::error::{GRPC_STATUS, internal};
use crate::metrics::code_name;

/// A response body that is part of its span: the span ends with it and learns the status from its trailers.
pub(crate) struct Traced {
    source: Body,
    span: Span,
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

// === impl Traced ===

impl Traced {
    /// Ties the body of a response to `span`.
    pub(crate) fn wrap(response: Response<Body>, span: Span) -> Response<Body> {
        record_status(&span, response.headers());
        if span.is_disabled() || response.body().is_end_stream() {
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
    let Some(code) = headers.get(GRPC_STATUS) else {
        return;
    };
    let code = Code::from_bytes(code.as_bytes());
    span.record("rpc.response.status_code", code_name(code));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", code_name(code));
    }
}
