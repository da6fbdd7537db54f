//! What became of an attempt that has no response: the status for the caller, and whether a server can have seen the request.

use h2::Reason;
use tonic::{Code, Status};

use rpc::error::{self, Fault};

/// The `ErrorInfo` reason of a call that this side broke off.
const BROKEN_OFF: &str = "REQUEST_BROKEN_OFF";

/// An attempt without response headers.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// No server has acted on the request, whatever it is: another attempt cannot do anything twice.
    pub(crate) unsent: Option<Unsent>,
    /// Whether it says something about the endpoint, and not about the request.
    pub(crate) is_of_endpoint: bool,
}

/// How it is known that a request was not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// There is no connection; the same endpoint would fail again.
    Unreachable,
    /// REFUSED_STREAM, or a GOAWAY that does not include the stream (RFC 9113 §8.7).
    Refused,
}

impl Failure {
    /// Callers learn no addresses; the log has them.
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
            is_of_endpoint: error.is_io() || error.is_remote() || error.is_library(),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            status,
            unsent: None,
            is_of_endpoint: false,
        }
    }
}

/// Whether this side broke the call off.
pub(crate) fn is_broken_off(status: &Status) -> bool {
    error::reason(status).as_deref() == Some(BROKEN_OFF)
}

/// The codes are those of gRPC over HTTP/2, "Errors".
pub(crate) fn status(error: &h2::Error) -> Status {
    if error.is_io() {
        let message = "the connection to the upstream broke before the response was complete";
        return Fault::unavailable("UPSTREAM_DISCONNECTED", message).into();
    }
    if error.is_go_away() && error.is_remote() {
        let message = "the upstream is going away and did not take the request";
        return Fault::unavailable("UPSTREAM_REFUSED", message).into();
    }
    let Some(reason) = error.reason() else {
        return Fault::new(Code::Internal, "UPSTREAM_PROTOCOL", error.to_string()).into();
    };
    if !error.is_remote() && !error.is_library() {
        let message = "the request was broken off before it was complete";
        return Fault::new(Code::Internal, BROKEN_OFF, message).into();
    }
    if !error.is_remote() {
        let message = format!("the upstream broke the rules of HTTP/2: {reason}");
        return Fault::new(Code::Internal, "UPSTREAM_PROTOCOL", message).into();
    }
    let code = match reason {
        Reason::REFUSED_STREAM => {
            let message = "the upstream refused the request before it did anything";
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
