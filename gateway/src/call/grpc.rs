//! Responses that are gRPC's, and those that are not.

use chassis::error::Fault;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use tonic::{Code, Status};

/// Returns whether the content type is one of gRPC's, in any case (RFC 9110 §8.3.1).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let split = content_type.and_then(|value| value.split_at_checked(GRPC.len()));
    split.is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// An answer of something that does not speak gRPC (http-grpc-status-mapping.md).
pub(super) fn not_grpc(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let message = format!(
        "the upstream answered with HTTP status {} instead of gRPC",
        status.as_u16()
    );
    Fault::new(code, "NOT_GRPC", message).into()
}
