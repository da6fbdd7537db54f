//! How the semantic conventions of OpenTelemetry name what a server sees.

use http::{Method, Request};
use tonic::Code;
use tracing::Span;
use tracing::field::Empty;

use crate::metrics::Protocol;
use crate::trace;

/// The label of what is not in the contract (OpenTelemetry semantic conventions, `http.request.method` and `rpc.method`).
pub(super) const OTHER: &str = "_OTHER";

/// The span of a request, to be filled in as more becomes known; disabled where nobody wants it.
pub(super) fn server_span<B>(request: &Request<B>, protocol: Protocol) -> Span {
    let method = request.method().as_str();
    // Names and attributes are those of the OpenTelemetry semantic conventions for HTTP and RPC. A path in the name would make as
    // many names as there are paths.
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
        url.path = request.uri().path(),
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

/// Whether a server is at fault (OpenTelemetry semantic conventions for RPC, "Server span status").
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

/// The method, or what stands for all that nobody knows.
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
