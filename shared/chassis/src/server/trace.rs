//! What spans say of how a call ended, and the guard against handlers that panic.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderMap, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::error::{GRPC_STATUS, internal};
use crate::metrics::code_name;

/// Answers INTERNAL where a handler panics: the panic would take other calls of its connection with it.
pub(crate) fn guard<F>(answer: F) -> impl Future<Output = F::Output>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    // The request is gone with the panic and nothing else is shared, so no broken state can be seen.
    let guarded = AssertUnwindSafe(answer).catch_unwind();
    guarded.map(|outcome| {
        outcome.unwrap_or_else(|_| {
            // The panic hook has printed message and place already.
            let fault = internal(anyhow::anyhow!("handler panicked"));
            Ok(Status::from(fault).into_http())
        })
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
