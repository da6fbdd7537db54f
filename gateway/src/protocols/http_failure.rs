//! The HTTP form of a failure: status, headers and `Retry-After`, around a body of the protocol.

use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http_body_util::Full;
use tonic::Status;
use tonic::body::Body;
use tonic_types::StatusExt;

use super::JSON;
use crate::failure::Failure;

/// A response with this body, which is JSON, and without the metadata of the failure.
pub(super) fn respond(failure: Failure, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = failure
        .http
        .unwrap_or_else(|| transcoder::http_status(failure.status.code() as i32));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some((name, value)) = failure.header {
        headers.insert(name, value);
    }
    if let Some(seconds) = retry_after_seconds(&failure.status) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Rounded up, since zero would mean "at once" (RFC 9110 §10.2.3).
fn retry_after_seconds(status: &Status) -> Option<u64> {
    let delay = status.get_details_retry_info()?.retry_delay?;
    Some(delay.as_secs() + u64::from(delay.subsec_nanos() > 0))
}
