//! Failures as the JSON API writes them: `google.rpc.Status` in JSON (AIP-193).

use http::header::{HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use transcoder::Schema;

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
    write_status(schema, &failure.status, &mut body);
    let code = failure.status.code();
    failure
        .http
        .get_or_insert_with(|| http_status(code, request));
    let metadata = std::mem::take(failure.status.metadata_mut()).into_headers();
    let mut response = respond(failure, body);
    if !metadata.is_empty() {
        let pause = response.headers_mut().remove(RETRY_AFTER);
        policy.metadata.dress_error(&metadata, &mut response);
        // The details have precedence: clients of gRPC get them too.
        response
            .headers_mut()
            .extend(pause.map(|pause| (RETRY_AFTER, pause)));
    }
    response
}

/// Appends a status as `google.rpc.Status` in JSON.
pub(crate) fn write_status(schema: &Schema, status: &Status, out: &mut Vec<u8>) {
    let details = Some(status.details()).filter(|details| !details.is_empty());
    schema.write_status(status.code() as i32, status.message(), details, out);
}

/// The HTTP status of an error. Of a request with a condition, these codes say that it was not met.
fn http_status(code: Code, request: &HeaderMap) -> StatusCode {
    match code {
        Code::FailedPrecondition | Code::Aborted if is_condition(request) => {
            StatusCode::PRECONDITION_FAILED
        }
        other => transcoder::http_status(other as i32),
    }
}
