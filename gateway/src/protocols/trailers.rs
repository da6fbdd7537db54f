//! A response body of gRPC whose trailers become its last message, for protocols that can't or
//! don't use those of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// Passes the messages on as they come, and writes the last one.
pub(crate) struct TrailersAsMessage<W> {
    inner: Body,
    /// Those that are known from the start, in place of the whole body.
    trailers: Option<HeaderMap>,
    write: W,
    is_ended: bool,
}

impl<W> TrailersAsMessage<W>
where
    W: Fn(HeaderMap) -> Result<Bytes, Status> + Send + Unpin + 'static,
{
    /// `write` makes the last message, in its frame, of the trailers.
    pub(crate) fn body(inner: Body, trailers: Option<HeaderMap>, write: W) -> Body {
        Body::new(Self {
            inner,
            trailers,
            write,
            is_ended: false,
        })
    }
}

impl<W> http_body::Body for TrailersAsMessage<W>
where
    W: Fn(HeaderMap) -> Result<Bytes, Status> + Unpin,
{
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
        Poll::Ready(Some((self.write)(trailers).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
