//! An attempt without a response: the status for the caller, and whether a server can have seen the
//! request.

use h2::Reason;
use rpc::error::Fault;
use tonic::{Code, Status};

/// The `ErrorInfo` reason of a call that this side aborted.
const REQUEST_BROKEN_OFF: &str = "REQUEST_BROKEN_OFF";

/// An attempt without response headers.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub(crate) status: Status,
    /// Set if no server has acted on the request: another attempt cannot repeat an effect.
    pub(crate) unsent: Option<Unsent>,
    /// Whether the endpoint is at fault, and not the request.
    pub(crate) is_of_endpoint: bool,
}

/// The evidence that no server acted on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// No connection; the same endpoint would fail again.
    Unreachable,
    /// REFUSED_STREAM, or a GOAWAY that does not include the stream (RFC 9113 §8.7).
    Refused,
}

impl AttemptError {
    /// Returns the error of an endpoint without a connection. Addresses are in the log, not in the
    /// error.
    pub(crate) fn unreachable() -> Self {
        let message = "the upstream cannot be reached";
        Self {
            status: Fault::unavailable("UPSTREAM_UNREACHABLE", message).into(),
            unsent: Some(Unsent::Unreachable),
            is_of_endpoint: true,
        }
    }

    pub(crate) fn of(error: &h2::Error) -> Self {
        let is_refused = error.is_remote()
            && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
        Self {
            status: status(error),
            unsent: is_refused.then_some(Unsent::Refused),
            // A malformed response is one call's.
            is_of_endpoint: error.is_io()
                || error.is_remote()
                || (error.is_library() && error.is_go_away()),
        }
    }
}

impl From<Status> for AttemptError {
    fn from(status: Status) -> Self {
        Self {
            status,
            unsent: None,
            is_of_endpoint: false,
        }
    }
}

/// Returns the status of an HTTP/2 error, with the codes of gRPC over HTTP/2, "Errors".
fn status(error: &h2::Error) -> Status {
    if error.is_io() {
        let message = "the connection to the upstream broke before the response was complete";
        return Fault::unavailable("UPSTREAM_DISCONNECTED", message).into();
    }
    if error.is_go_away() && error.is_remote() {
        let message = "the upstream is shutting down and rejected the request";
        return Fault::unavailable("UPSTREAM_REFUSED", message).into();
    }
    let Some(reason) = error.reason() else {
        return Fault::new(Code::Internal, "UPSTREAM_PROTOCOL", error.to_string()).into();
    };
    if !error.is_remote() && !error.is_library() {
        let message = "request aborted before it was complete";
        return Fault::new(Code::Internal, REQUEST_BROKEN_OFF, message).into();
    }
    if !error.is_remote() && error.is_go_away() {
        // It may be another call's response that broke the connection.
        let message =
            format!("the connection to the upstream broke: its HTTP/2 is wrong ({reason})");
        return Fault::unavailable("UPSTREAM_DISCONNECTED", message).into();
    }
    if !error.is_remote() {
        let message = format!("HTTP/2 protocol error of the upstream: {reason}");
        return Fault::new(Code::Internal, "UPSTREAM_PROTOCOL", message).into();
    }
    let code = match reason {
        Reason::REFUSED_STREAM => {
            let message = "the upstream rejected the request before processing it";
            return Fault::unavailable("UPSTREAM_REFUSED", message).into();
        }
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    };
    let message = format!("the upstream reset the call: {reason}");
    Fault::new(code, "UPSTREAM_RESET", message).into()
}
