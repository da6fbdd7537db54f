//! gRPC-Web: gRPC whose trailers are the last message of the body, since browsers do not show those
//! of HTTP; as bytes or in base64.

mod base64;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use rpc::error::GRPC_STATUS;
use rpc::frame::TRAILERS;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use super::sniff::Codec;
use super::trailers::TrailersAsMessage;
use super::{MethodTarget, grpc};
use crate::api::Catalog;
use crate::call::frame;
use crate::context::Context;
use crate::failure::Failure;

use self::base64::{Base64Decoder, Base64Encoder};

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    /// base64, for browsers that read streams as text only.
    Text,
}

/// Answers a request; a failure is a response whose body is the trailers alone.
pub(super) async fn serve(
    context: &Context,
    catalog: &Arc<Catalog>,
    encoding: Encoding,
    codec: Codec,
    target: MethodTarget<'_>,
    deadline: Option<Instant>,
    request: Request<Body>,
) -> Response<Body> {
    let request = into_grpc(request, encoding);
    let response = grpc::serve(context, catalog, codec, target, deadline, request).await;
    from_grpc(response, encoding, codec)
}

/// The response to a request that did not become a call.
pub(super) fn refuse(
    context: &Context,
    encoding: Encoding,
    codec: Codec,
    failure: Failure,
) -> Response<Body> {
    from_grpc(grpc::refuse(context, codec, failure), encoding, codec)
}

fn into_grpc(mut request: Request<Body>, encoding: Encoding) -> Request<Body> {
    let content_type = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    match encoding {
        Encoding::Binary => request,
        Encoding::Text => request.map(|body| Body::new(Base64Decoder::new(body))),
    }
}

fn from_grpc(response: Response<Body>, encoding: Encoding, codec: Codec) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let content_type = match (encoding, codec) {
        (Encoding::Binary, Codec::Json) => "application/grpc-web+json",
        (Encoding::Binary, _) => "application/grpc-web+proto",
        (Encoding::Text, Codec::Json) => "application/grpc-web-text+json",
        (Encoding::Text, _) => "application/grpc-web-text+proto",
    };
    // A Trailers-Only head holds the trailers.
    let trailers = head
        .headers
        .contains_key(GRPC_STATUS)
        .then(|| std::mem::take(&mut head.headers));
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let body = TrailersAsMessage::body(body, trailers.map(without_http), async |trailers| {
        trailers_frame(trailers)
    });
    let body = match encoding {
        Encoding::Binary => body,
        Encoding::Text => Body::new(Base64Encoder::new(body)),
    };
    Response::from_parts(head, body)
}

/// Removes headers that trailers must not have.
fn without_http(mut trailers: HeaderMap) -> HeaderMap {
    trailers.remove(CONTENT_TYPE);
    trailers.remove(CONTENT_LENGTH);
    trailers
}

/// Header lines as HTTP/1.1 writes them, names in lower case, without the empty line.
fn trailers_frame(trailers: HeaderMap) -> Result<Bytes, Status> {
    let mut frame = frame::begin_frame();
    for (name, value) in &trailers {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    frame::end_frame(frame, TRAILERS)
}
