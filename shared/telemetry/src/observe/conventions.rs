//! Names and rules of the OpenTelemetry semantic conventions.

use http::{HeaderMap, Method, Request};
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;

use crate::metrics::Protocol;
use crate::trace;

/// A function that returns the protocol of a request by its headers.
pub type Sniff = fn(&HeaderMap) -> Protocol;

/// The label of names outside of the contract (OpenTelemetry semantic conventions,
/// `http.request.method` and `rpc.method`).
pub(super) const OTHER: &str = "_OTHER";

/// Creates the span of a request, whose fields are recorded later; disabled if nothing listens.
pub(super) fn server_span<B>(request: &Request<B>, protocol: Protocol) -> Span {
    let method = request.method().as_str();
    // Names and attributes are those of the OpenTelemetry semantic conventions for HTTP and RPC.
    // The name holds no path, so that names are bounded.
    let span = tracing::info_span!(
        target: "trace",
        "request",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        error.r#type = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        url.path = Empty,
        rpc.system.name = Empty,
        rpc.method = Empty,
        rpc.response.status_code = Empty,
        protocol = protocol.as_str(),
    );
    if !span.is_disabled() {
        trace::extract(&span, request.headers());
    }
    span
}

/// Returns whether the server is at fault (OpenTelemetry semantic conventions for RPC, "Server span
/// status").
pub(super) fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Returns the method, or [`OTHER`] for an unknown one.
pub(super) fn known_method(method: &Method) -> Method {
    let is_known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ]
    .contains(method);
    if is_known {
        return method.clone();
    }
    Method::from_bytes(OTHER.as_bytes()).unwrap_or(Method::GET)
}
