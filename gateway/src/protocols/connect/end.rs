//! The response of a stream: the messages as they come, and a last one that says how the call ended
//! (Connect protocol, "EndStreamResponse").

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use rpc::error::GRPC_STATUS;
use rpc::frame::END_STREAM;
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};

use super::error::ConnectError;
use super::metadata;
use crate::api::Catalog;
use crate::call::frame::{self, bad_upstream};
use crate::protocols::inspect;
use crate::protocols::sniff::Codec;
use crate::protocols::trailers::TrailersAsMessage;

/// The last message.
#[derive(Debug, Default, Serialize)]
struct EndStream {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ConnectError>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Vec<String>>,
}

/// Turns a response of gRPC into one of Connect. `method` is the method that was called.
pub(super) fn from_grpc(
    response: Response<Body>,
    codec: Codec,
    catalog: Arc<Catalog>,
    method: String,
) -> Response<Body> {
    let (mut head, inner) = response.into_parts();
    let mut headers = std::mem::take(&mut head.headers);
    // Trailers-Only metadata belongs to the end of the stream, except for the accepted codings.
    let trailers = headers.contains_key(GRPC_STATUS).then(|| {
        let codings = headers.get(inspect::ACCEPT_ENCODING).cloned();
        let kept = codings.map(|list| (inspect::ACCEPT_ENCODING, list));
        std::mem::replace(&mut headers, kept.into_iter().collect())
    });
    head.headers = metadata::stream_head(headers);
    let content_type = match codec {
        Codec::Json => "application/connect+json",
        _ => "application/connect+proto",
    };
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let write = async move |trailers| end_stream(trailers, &catalog, &method).await;
    Response::from_parts(head, TrailersAsMessage::body(inner, trailers, write))
}

async fn end_stream(trailers: HeaderMap, catalog: &Catalog, method: &str) -> Result<Bytes, Status> {
    let status = rpc::error::from_headers(&trailers)
        .unwrap_or_else(|| bad_upstream("the upstream ended without a status"));
    let failed = status.code() != Code::Ok;
    catalog.learn_details(method, &status).await;
    let mut end = EndStream {
        error: failed.then(|| ConnectError::of(&status, &catalog.schema)),
        metadata: BTreeMap::new(),
    };
    for (name, value) in &metadata::trailing(trailers) {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        end.metadata
            .entry(name.to_string())
            .or_default()
            .push(value);
    }
    let mut frame = frame::begin_frame();
    let written = serde_json::to_writer(&mut frame, &end);
    written.map_err(|error| Status::from(chassis::error::internal(error)))?;
    frame::end_frame(frame, END_STREAM)
}
