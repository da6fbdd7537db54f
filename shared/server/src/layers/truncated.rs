//! Reports a request body that its client aborts as an error, never as the end of the messages.

use http::Request;
use http_body_util::BodyExt;
use rpc::body::truncated;
use tonic::body::Body;
use tonic::{Code, Status};

/// Replaces CANCELLED, by which the request body fails, with ABORTED.
///
/// A client that drops its call resets the stream with CANCEL. tonic's decoder shows a request body that fails with CANCELLED as
/// the regular end of the messages, so half of a client stream would look complete.
pub(crate) fn mark(request: Request<Body>) -> Request<Body> {
    request.map(|body| Body::new(body.map_err(aborted)))
}

fn aborted(status: Status) -> Status {
    if status.code() == Code::Cancelled {
        truncated(Code::Aborted).into()
    } else {
        status
    }
}
