//! The body of a request on its way to the upstream: complete, or still arriving.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

/// The largest request that is kept for another attempt, in bytes: the default limit of servers.
const REPLAY_BYTES_MAX: usize = 4 * 1024 * 1024 + 5;

/// The largest single message that is collected before it is sent, in bytes.
const ONE_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A request body.
pub(crate) enum Payload {
    /// The complete body, which may be sent any number of times.
    Whole(Bytes),
    /// An incomplete body, which may be sent once.
    Streaming(Streaming),
    /// An incomplete body that an attempt has begun to send.
    Consumed,
}

/// The frames that have arrived, and their source.
pub(crate) struct Streaming {
    ready: VecDeque<Frame<Bytes>>,
    rest: Body,
}

/// How a body that is still arriving is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffering {
    /// Collected and kept for another attempt.
    Replay,
    /// Collected while it is small.
    OneMessage,
    /// Sent as it arrives.
    None,
}

impl Payload {
    /// Reads the frames that have arrived, and collects the rest as `buffering` says.
    pub(crate) async fn of(mut body: Body, buffering: Buffering) -> Result<Self, Status> {
        let mut ready = VecDeque::new();
        let mut bytes = 0;
        let most = match buffering {
            Buffering::Replay => REPLAY_BYTES_MAX,
            Buffering::OneMessage | Buffering::None => ONE_MESSAGE_BYTES_MAX,
        };
        loop {
            let polled = poll_fn(|context| {
                let polled = Pin::new(&mut body).poll_frame(context);
                match polled {
                    Poll::Pending if buffering == Buffering::None => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(frame) => Poll::Ready(Some(frame)),
                }
            });
            let frame = match polled.await {
                None => break,
                Some(None) => return Ok(Self::Whole(joined(ready))),
                Some(Some(frame)) => frame?,
            };
            let length = frame.data_ref().map(Bytes::len);
            bytes += length.unwrap_or_default();
            ready.push_back(frame);
            let is_last = length.is_some() && body.is_end_stream();
            if is_last && bytes <= REPLAY_BYTES_MAX {
                return Ok(Self::Whole(joined(ready)));
            }
            if length.is_none() || bytes > most {
                break;
            }
        }
        Ok(Self::Streaming(Streaming { ready, rest: body }))
    }

    /// Returns the body for an attempt.
    pub(crate) fn take(&mut self) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes.clone()),
            Self::Streaming(_) | Self::Consumed => std::mem::replace(self, Self::Consumed),
        }
    }

    pub(crate) fn is_consumed(&self) -> bool {
        matches!(self, Self::Consumed)
    }
}

impl Streaming {
    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.ready.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }
}

fn joined(frames: VecDeque<Frame<Bytes>>) -> Bytes {
    let mut pieces = frames
        .into_iter()
        .filter_map(|frame| frame.into_data().ok());
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else {
        return first;
    };
    let mut joined = BytesMut::from(&first[..]);
    joined.extend_from_slice(&second);
    pieces.for_each(|piece| joined.extend_from_slice(&piece));
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::StreamBody;

    use super::*;

    fn data(text: &'static str) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(Bytes::from(text)))
    }

    #[tokio::test]
    async fn what_is_there_at_once_is_whole() {
        let body = Body::new(StreamBody::new(tokio_stream::iter([data("a"), data("b")])));
        let Payload::Whole(bytes) = Payload::of(body, Buffering::None).await.unwrap() else {
            panic!("not whole");
        };
        assert_eq!(bytes, "ab");
    }

    #[tokio::test]
    async fn what_still_arrives_is_sent_once() {
        let endless = tokio_stream::once(data("a")).chain(tokio_stream::pending());
        let body = Body::new(StreamBody::new(endless));
        let mut payload = Payload::of(body, Buffering::None).await.unwrap();
        let Payload::Streaming(mut streaming) = payload.take() else {
            panic!("not streaming");
        };
        assert!(payload.is_consumed());
        let first = poll_fn(|context| streaming.poll_frame(context)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "a");
    }

    #[tokio::test]
    async fn one_message_is_waited_for_unless_it_is_large() {
        for (bytes, is_whole) in [(10, true), (ONE_MESSAGE_BYTES_MAX, false)] {
            let halves = [bytes, bytes].map(|length| Ok(Frame::data(vec![0; length].into())));
            // The second frame is not ready at once.
            let frames = tokio_stream::iter(halves).then(async |frame: Result<_, Status>| {
                tokio::task::yield_now().await;
                frame
            });
            let body = Body::new(StreamBody::new(Box::pin(frames)));
            let payload = Payload::of(body, Buffering::OneMessage).await.unwrap();
            assert_eq!(matches!(payload, Payload::Whole(_)), is_whole, "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_to_keep_is_sent_once() {
        let large = Bytes::from(vec![0; REPLAY_BYTES_MAX + 1]);
        let body = Body::new(http_body_util::Full::new(large));
        let payload = Payload::of(body, Buffering::Replay).await.unwrap();
        assert!(matches!(payload, Payload::Streaming(_)));
    }
}
