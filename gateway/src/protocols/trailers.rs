//! A response body of gRPC whose trailers become its last message, for protocols that can't or
//! don't use those of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use rpc::frame::{HEADER_BYTES, Header};
use tonic::Status;
use tonic::body::Body;

/// Passes whole messages on as they come, and writes the last one: put within a message that never
/// ends, it would be taken for a part of that message. Holds at most one message, which `inner`
/// bounds.
pub(crate) struct TrailersAsMessage<W> {
    inner: Body,
    /// The begin of a message whose rest has not arrived.
    begun: BytesMut,
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
            begun: BytesMut::new(),
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
        let trailers = loop {
            if let Some(trailers) = self.trailers.take() {
                break trailers;
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let whole = take_whole(&mut self.begun, data);
                        if !whole.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(whole))));
                        }
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                other => {
                    self.is_ended = true;
                    return Poll::Ready(other);
                }
            }
        };
        self.is_ended = true;
        self.inner = Body::empty();
        self.begun = BytesMut::new();
        Poll::Ready(Some((self.write)(trailers).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}

/// Returns the whole messages of `begun` and what has arrived after it, and keeps the rest.
/// Messages that arrive whole are not copied.
fn take_whole(begun: &mut BytesMut, mut data: Bytes) -> Bytes {
    if begun.is_empty() {
        let whole = data.split_to(whole_bytes(&data));
        begun.extend_from_slice(&data);
        return whole;
    }
    begun.extend_from_slice(&data);
    begun.split_to(whole_bytes(begun)).freeze()
}

/// Returns the length of the whole messages at the start of these bytes.
fn whole_bytes(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(header) = bytes[at..].first_chunk() {
        let end = at + HEADER_BYTES + Header::decode(*header).length as usize;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    at
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// Two messages of 3 and 0 bytes and the begin of a third, in chunks of this size, and then the
    /// trailers.
    async fn received(size: usize) -> Vec<u8> {
        let sent = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x09xy";
        let chunks = sent.chunks(size).map(Bytes::copy_from_slice);
        let end = Frame::trailers(HeaderMap::new());
        let frames = chunks.map(Frame::data).chain([end]).map(Ok::<_, Status>);
        let frames: Vec<_> = frames.collect();
        let inner = Body::new(StreamBody::new(tokio_stream::iter(frames)));
        let end = |_| Ok(Bytes::from_static(b"end"));
        let body = TrailersAsMessage::body(inner, None, end);
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn the_end_never_stands_within_a_message() {
        for size in 1..30 {
            let received = received(size).await;
            assert_eq!(received, b"\0\0\0\0\x03abc\0\0\0\0\0end", "{size}");
        }
    }
}
