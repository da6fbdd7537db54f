//! A request that its client breaks off is an error for the handler, never the end of the messages.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use crate::error::Fault;

#[cfg(test)]
mod tests;

/// Passes the request on with a body whose CANCELLED is ABORTED.
///
/// A client that drops its call resets the stream with CANCEL. tonic's decoder shows a request body that fails with
/// CANCELLED as the regular end of the messages, so half of a client stream would look whole.
pub(crate) async fn enforce<S>(
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = request.map(|body| Body::new(body.map_err(torn)));
    inner.oneshot(request).await
}

fn torn(status: Status) -> Status {
    if status.code() == Code::Cancelled {
        Fault::aborted("REQUEST_TORN", "the client broke the request off").into()
    } else {
        status
    }
}
