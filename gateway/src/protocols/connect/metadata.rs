//! Metadata of a response: which headers of gRPC are the caller's, and under which names.

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName};
use rpc::error::GRPC_STATUS;

use super::{STREAM_ACCEPT_ENCODING, STREAM_ENCODING, inspect, rename};
use crate::policy;

/// The prefix of trailers in the head of a unary response.
const TRAILER_PREFIX: &str = "trailer-";

/// The status of gRPC, which Connect replaces.
static STATUS: [HeaderName; 3] = [
    GRPC_STATUS,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// Leading metadata of a unary response; its codings are those of HTTP.
pub(super) fn unary_head(mut headers: HeaderMap) -> HeaderMap {
    clean(&mut headers);
    headers.remove(inspect::ENCODING);
    rename(&mut headers, &inspect::ACCEPT_ENCODING, ACCEPT_ENCODING);
    headers
}

/// Leading metadata of a stream.
pub(super) fn stream_head(mut headers: HeaderMap) -> HeaderMap {
    clean(&mut headers);
    for (from, to) in [
        (inspect::ENCODING, STREAM_ENCODING),
        (inspect::ACCEPT_ENCODING, STREAM_ACCEPT_ENCODING),
    ] {
        if let Some(value) = headers.remove(from) {
            headers.insert(to, value);
        }
    }
    headers
}

/// Trailing metadata, by its own names.
pub(super) fn trailing(mut trailers: HeaderMap) -> HeaderMap {
    clean(&mut trailers);
    trailers.remove(inspect::ENCODING);
    trailers.remove(inspect::ACCEPT_ENCODING);
    trailers
}

/// Trailing metadata on its way into the head of a unary response.
pub(super) fn append_trailing(trailers: HeaderMap, head: &mut HeaderMap) {
    for (name, value) in &trailing(trailers) {
        let prefixed = format!("{TRAILER_PREFIX}{name}").parse::<HeaderName>();
        if let Ok(name) = prefixed {
            head.append(name, value.clone());
        }
    }
}

fn clean(headers: &mut HeaderMap) {
    policy::strip_hop_by_hop(headers);
    for name in &STATUS {
        headers.remove(name);
    }
    headers.remove(DATE);
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
}
