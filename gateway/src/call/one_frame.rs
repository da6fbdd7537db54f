//! The body of a call with one request message.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tonic::body::Body;

/// A request of one message.
pub(crate) fn one_frame(frame: Bytes) -> Body {
    Body::new(OneFrame(Some(frame)))
}

/// A request body that does not tell its length: the client would make a `content-length` of it,
/// which no gRPC client sends, and a server that returns metadata as trailers would return it too,
/// where it makes an error response malformed.
struct OneFrame(Option<Bytes>);

impl http_body::Body for OneFrame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
