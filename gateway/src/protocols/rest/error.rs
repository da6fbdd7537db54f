//! Failures as the JSON API writes them: `google.rpc.Status` in JSON (AIP-193).

use http::header::{HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use transcoder::Schema;

use crate::api::Dialect;
use crate::call::ErrorMetadata;
use crate::failure::Failure;
use crate::policy::{Policy, is_condition};
use crate::protocols::http_failure::respond;

/// The response to a request with these headers.
pub(crate) fn render(
    mut failure: Failure,
    schema: &Schema,
    policy: &Policy,
    request: &HeaderMap,
) -> Response<Body> {
    let mut body = Vec::new();
    match failure.in_stream {
        true => {
            body.extend_from_slice(b"{\"error\":");
            write_status(schema, &failure.status, &mut body);
            body.extend_from_slice(b"}\n");
        }
        false => write_status(schema, &failure.status, &mut body),
    }
    let code = failure.status.code();
    let strict = failure
        .http
        .unwrap_or_else(|| http_status(code, policy.dialect, request));
    failure.http = Some(policy.dialect.http_status(strict));
    let own = Status::new(code, failure.status.message());
    let metadata = ErrorMetadata::take(&mut failure.status);
    let mut response = respond(failure, body);
    put_grpc_status(policy.dialect, &own, response.headers_mut());
    if !metadata.is_empty() {
        let pause = response.headers_mut().remove(RETRY_AFTER);
        policy
            .metadata
            .dress_error(&metadata, request, &mut response);
        // The details have precedence: clients of gRPC get them too.
        response
            .headers_mut()
            .extend(pause.map(|pause| (RETRY_AFTER, pause)));
    }
    response
}

/// Adds the headers `grpc-status` and `grpc-message`, which Envoy leaves beside the JSON of one
/// message.
pub(super) fn put_grpc_status(dialect: Dialect, status: &Status, headers: &mut HeaderMap) {
    if dialect == Dialect::Envoy && status.add_header(headers).is_err() {
        tracing::debug!(%status, "status without a form as headers");
    }
}

/// Appends a status as `google.rpc.Status` in JSON.
pub(crate) fn write_status(schema: &Schema, status: &Status, out: &mut Vec<u8>) {
    let details = Some(status.details()).filter(|details| !details.is_empty());
    schema.write_status(rpc::error::code(status), status.message(), details, out);
}

/// The HTTP status of an error. Of a request with a condition, these codes say that it was not met.
fn http_status(code: Code, dialect: Dialect, request: &HeaderMap) -> StatusCode {
    match code {
        Code::FailedPrecondition | Code::Aborted
            if dialect.has_preconditions() && is_condition(request) =>
        {
            StatusCode::PRECONDITION_FAILED
        }
        other => transcoder::http_status(other as i32),
    }
}
