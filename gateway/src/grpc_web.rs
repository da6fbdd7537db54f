//! gRPC-Web: gRPC whose trailers are the last message of the body, since browsers do not show those of HTTP; as bytes or in base64.

mod base64;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use crate::catalog::Catalog;
use crate::frames::STATUS;
use crate::gateway::Gateway;
use crate::protocol::Codec;
use crate::{call, native};

use self::base64::{Decoded, Encoded};

/// Tells the trailers from messages (gRPC-Web, "Message framing").
const TRAILERS: u8 = 0x80;

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    /// base64, for browsers that read streams as text only.
    Text,
}

/// Answers a request; a failure is a response whose body is the trailers alone.
pub(crate) async fn serve(
    gateway: &Gateway,
    catalog: &Arc<Catalog>,
    encoding: Encoding,
    codec: Codec,
    request: Request<Body>,
) -> Response<Body> {
    let response = native::serve(gateway, catalog, codec, into_grpc(request, encoding)).await;
    from_grpc(response, encoding, codec)
}

fn into_grpc(mut request: Request<Body>, encoding: Encoding) -> Request<Body> {
    let content_type = HeaderValue::from_static("application/grpc");
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    match encoding {
        Encoding::Binary => request,
        Encoding::Text => request.map(|body| Body::new(Decoded::new(body))),
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
    // What came as trailers only is the trailers of the answer.
    let trailers = head
        .headers
        .contains_key(STATUS)
        .then(|| std::mem::take(&mut head.headers));
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let body = Body::new(Framed {
        inner: body,
        trailers: trailers.map(without_http),
        is_ended: false,
    });
    let body = match encoding {
        Encoding::Binary => body,
        Encoding::Text => Body::new(Encoded::new(body)),
    };
    Response::from_parts(head, body)
}

/// A head that is taken for trailers says things about HTTP that trailers can't.
fn without_http(mut trailers: HeaderMap) -> HeaderMap {
    trailers.remove(CONTENT_TYPE);
    trailers.remove(CONTENT_LENGTH);
    trailers
}

/// A response body of gRPC, with its trailers as the last message.
struct Framed {
    inner: Body,
    /// Those that are known from the start, in place of the whole body.
    trailers: Option<HeaderMap>,
    is_ended: bool,
}

impl http_body::Body for Framed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let trailers = match self.trailers.take() {
            Some(trailers) => trailers,
            None => match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_trailers() {
                    Ok(trailers) => trailers,
                    Err(data) => return Poll::Ready(Some(Ok(data))),
                },
                other => {
                    self.is_ended = true;
                    return Poll::Ready(other);
                }
            },
        };
        self.is_ended = true;
        self.inner = Body::empty();
        Poll::Ready(Some(trailers_frame(&trailers).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}

/// Header lines as HTTP/1.1 writes them, names in lower case, without the empty line.
fn trailers_frame(trailers: &HeaderMap) -> Result<Bytes, Status> {
    let mut frame = call::begin_frame();
    frame[0] = TRAILERS;
    for (name, value) in trailers {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    call::end_frame(frame)
}
