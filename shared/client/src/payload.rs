//! The body of a request on its way out: known as a whole, or still arriving.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

/// The largest request that is kept for another attempt, in bytes: what servers accept by default.
const REPLAY_BYTES_MAX: usize = 4 * 1024 * 1024 + 5;

/// What is gathered of a request that is not kept, in bytes: enough to see that a small one is whole.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// A request body, in the form that tells what can still be done with it.
pub(crate) enum Payload {
    /// All of it; may be sent any number of times.
    Whole(Bytes),
    /// May be sent once.
    Streaming(Streaming),
    /// A stream that an attempt has begun to send.
    Gone,
}

/// What has arrived already, and what it comes from.
pub(crate) struct Streaming {
    ready: VecDeque<Frame<Bytes>>,
    rest: Body,
}

/// What becomes of the part of a body that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is waited for and kept for another attempt.
    Kept,
    /// It is waited for as long as that is little.
    Gathered,
    /// It is sent as it arrives.
    Streamed,
}

impl Payload {
    /// Takes what is there, and waits for the rest if that is said to be worth it.
    pub(crate) async fn of(mut body: Body, rest: Rest) -> Result<Self, Status> {
        let mut ready = VecDeque::new();
        let mut bytes = 0;
        let most = match rest {
            Rest::Kept => REPLAY_BYTES_MAX,
            Rest::Gathered | Rest::Streamed => GATHERED_BYTES_MAX,
        };
        loop {
            let polled = poll_fn(|context| {
                let polled = Pin::new(&mut body).poll_frame(context);
                match polled {
                    Poll::Pending if rest == Rest::Streamed => Poll::Ready(None),
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

    /// What an attempt sends.
    pub(crate) fn take(&mut self) -> Self {
        match self {
            Self::Whole(bytes) => Self::Whole(bytes.clone()),
            Self::Streaming(_) | Self::Gone => std::mem::replace(self, Self::Gone),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
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
        let Payload::Whole(bytes) = Payload::of(body, Rest::Streamed).await.unwrap() else {
            panic!("not whole");
        };
        assert_eq!(bytes, "ab");
    }

    #[tokio::test]
    async fn what_still_arrives_is_sent_once() {
        let endless = tokio_stream::once(data("a")).chain(tokio_stream::pending());
        let body = Body::new(StreamBody::new(endless));
        let mut payload = Payload::of(body, Rest::Streamed).await.unwrap();
        let Payload::Streaming(mut streaming) = payload.take() else {
            panic!("not streaming");
        };
        assert!(payload.is_gone());
        let first = poll_fn(|context| streaming.poll_frame(context)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "a");
    }

    #[tokio::test]
    async fn one_message_is_waited_for_unless_it_is_large() {
        for (bytes, is_whole) in [(10, true), (GATHERED_BYTES_MAX, false)] {
            let halves = [bytes, bytes].map(|length| Ok(Frame::data(vec![0; length].into())));
            // The second one is not there at once.
            let frames = tokio_stream::iter(halves).then(async |frame: Result<_, Status>| {
                tokio::task::yield_now().await;
                frame
            });
            let body = Body::new(StreamBody::new(Box::pin(frames)));
            let payload = Payload::of(body, Rest::Gathered).await.unwrap();
            assert_eq!(matches!(payload, Payload::Whole(_)), is_whole, "{bytes}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_to_keep_is_sent_once() {
        let large = Bytes::from(vec![0; REPLAY_BYTES_MAX + 1]);
        let body = Body::new(http_body_util::Full::new(large));
        let payload = Payload::of(body, Rest::Kept).await.unwrap();
        assert!(matches!(payload, Payload::Streaming(_)));
    }
}
