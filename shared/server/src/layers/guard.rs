//! Answers INTERNAL for a handler that panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::Response;
use rpc::error::internal;
use tonic::Status;
use tonic::body::Body;

/// Answers INTERNAL if the handler panics: the panic would end the other calls of its connection too.
pub(crate) fn catch_panic<F>(answer: F) -> impl Future<Output = F::Output>
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
