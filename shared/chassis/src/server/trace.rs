//! What a call notes in its span, and the guard against handlers that panic.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tracing::Span;

use crate::error::{GRPC_STATUS, internal};
use crate::metrics::code_name;

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
