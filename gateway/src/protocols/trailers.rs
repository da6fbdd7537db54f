//! A response body of gRPC whose trailers become its last message, for protocols that can't or
//! don't use those of HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use rpc::frame::{HEADER_BYTES, Header};
use tonic::Status;
use tonic::body::Body;

/// Passes whole messages on as they come, and writes the last one: put within a message that never
/// ends, it would be taken for a part of that message. Holds at most one message, which `inner`
/// bounds.
pub(crate) struct TrailersAsMessage {
    inner: Body,
    /// The begin of a message whose rest has not arrived.
    begun: BytesMut,
    /// Those that are known from the start, in place of the whole body.
    trailers: Option<HeaderMap>,
    write: Option<Write>,
    /// The last message while it is written.
    last: Option<BoxFuture<'static, Result<Bytes, Status>>>,
    is_ended: bool,
}

/// Makes the last message, in its frame, of the trailers.
type Write = Box<dyn FnOnce(HeaderMap) -> BoxFuture<'static, Result<Bytes, Status>> + Send>;

impl TrailersAsMessage {
    /// `write` makes the last message, in its frame, of the trailers.
    pub(crate) fn body<W, F>(inner: Body, trailers: Option<HeaderMap>, write: W) -> Body
    where
        W: FnOnce(HeaderMap) -> F + Send + 'static,
        F: Future<Output = Result<Bytes, Status>> + Send + 'static,
    {
        Body::new(Self {
            inner,
            begun: BytesMut::new(),
            trailers,
            write: Some(Box::new(|trailers| write(trailers).boxed())),
            last: None,
            is_ended: false,
        })
    }
}

impl http_body::Body for TrailersAsMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let last = loop {
            if let Some(last) = &mut self.last {
                break ready!(last.poll_unpin(context));
            }
            if let Some(trailers) = self.trailers.take()
                && let Some(write) = self.write.take()
            {
                self.inner = Body::empty();
                self.begun = BytesMut::new();
                self.last = Some(write(trailers));
                continue;
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
        self.last = None;
        Poll::Ready(Some(last.map(Frame::data)))
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
        let end = async |_| Ok(Bytes::from_static(b"end"));
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
