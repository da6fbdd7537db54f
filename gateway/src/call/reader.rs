//! The messages of a response, cut out of its bytes: one that arrives in one piece is not copied.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::task::noop_waker_ref;
use http::HeaderMap;
use http_body::Body as _;
use rpc::error::no_status;
use rpc::frame::{Frame, FrameReader};
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{bad_frame, truncated};

/// A response of which at most one message and one chunk are held.
pub(super) struct MessageReader {
    body: Body,
    frames: FrameReader,
    /// Whether the headers hold an OK status already.
    has_status: bool,
    trailers: HeaderMap,
    /// The outcome, until it is returned.
    outcome: Option<Result<(), Status>>,
    is_done: bool,
}

impl MessageReader {
    pub(super) fn new(body: Body, has_status: bool, max_message_bytes: usize) -> Self {
        Self {
            body,
            frames: FrameReader::new(max_message_bytes).accept_flags(0),
            has_status,
            trailers: HeaderMap::new(),
            outcome: None,
            is_done: false,
        }
    }

    /// The next message; `None` at the end of a call that ended well.
    pub(super) fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.cut() {
                return Poll::Ready(Ok(Some(message)));
            }
            if let Some(outcome) = self.outcome.take() {
                return Poll::Ready(outcome.map(|()| None));
            }
            if self.is_done {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_chunk(context));
        }
    }

    /// The next message, if it is there already.
    pub(super) fn ready_message(&mut self) -> Option<Bytes> {
        // A later wait for a message registers its own waker.
        let mut context = Context::from_waker(noop_waker_ref());
        loop {
            if let Some(message) = self.cut() {
                return Some(message);
            }
            if self.is_done || self.poll_chunk(&mut context).is_pending() {
                return None;
            }
        }
    }

    /// The trailers of a call that has ended; empty when they have been taken.
    pub(super) fn trailers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.trailers)
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let outcome = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.frames.push(data);
                    return Poll::Ready(());
                }
                Err(frame) => {
                    self.trailers = frame.into_trailers().unwrap_or_default();
                    self.ended()
                }
            },
            Some(Err(status)) => Err(status),
            None => self.ended(),
        };
        self.finish(outcome);
        Poll::Ready(())
    }

    fn ended(&self) -> Result<(), Status> {
        match rpc::error::from_headers(&self.trailers) {
            Some(status) if status.code() != Code::Ok => Err(status),
            None if !self.has_status => Err(no_status().into()),
            _ if !self.frames.is_empty() => Err(truncated()),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, outcome: Result<(), Status>) {
        self.outcome = Some(outcome);
        self.is_done = true;
    }

    /// The next message of what has arrived. A frame that no message can follow ends all.
    fn cut(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        match self.frames.next_frame() {
            Ok(frame) => frame.map(Frame::into_message),
            Err(error) => {
                self.finish(Err(bad_frame(error)));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    /// Frames of messages of these lengths, in chunks of this size, and then what ends the call.
    fn received(lengths: &[usize], size: usize, status: Option<&'static str>) -> MessageReader {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
            bytes.resize(bytes.len() + length, 7);
        }
        let chunks = bytes.chunks(size).map(Bytes::copy_from_slice);
        let mut frames: Vec<_> = chunks.map(http_body::Frame::data).collect();
        frames.extend(status.map(|status| {
            let status = http::HeaderValue::from_static(status);
            let name = http::HeaderName::from_static("grpc-status");
            http_body::Frame::trailers(HeaderMap::from_iter([(name, status)]))
        }));
        let frames = frames.into_iter().map(Ok::<_, Status>);
        let body = StreamBody::new(tokio_stream::iter(frames));
        MessageReader::new(Body::new(body), false, 10)
    }

    async fn next(received: &mut MessageReader) -> Result<Option<usize>, Code> {
        let message = std::future::poll_fn(|context| received.poll_message(context)).await;
        message
            .map(|message| message.map(|message| message.len()))
            .map_err(|status| status.code())
    }

    #[tokio::test]
    async fn messages_are_found_however_the_bytes_are_cut() {
        for size in 1..40 {
            for asks_ahead in [false, true] {
                let mut received = received(&[0, 3, 10, 1], size, Some("0"));
                let mut lengths = Vec::new();
                while let Some(length) = next(&mut received).await.unwrap() {
                    lengths.push(length);
                    while let Some(message) = asks_ahead.then(|| received.ready_message()).flatten()
                    {
                        lengths.push(message.len());
                    }
                }
                assert_eq!(lengths, [0, 3, 10, 1], "{size}");
                assert_eq!(next(&mut received).await, Ok(None));
            }
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_behind_the_messages_before_it() {
        for (lengths, status, expected) in [
            (&[1, 11][..], Some("0"), Code::Internal),
            (&[1][..], Some("5"), Code::NotFound),
            (&[1][..], None, Code::Unknown),
        ] {
            let mut received = received(lengths, 4, status);
            assert_eq!(next(&mut received).await, Ok(Some(1)));
            assert_eq!(received.ready_message(), None);
            assert_eq!(next(&mut received).await, Err(expected));
            assert_eq!(next(&mut received).await, Ok(None));
        }
    }

    #[tokio::test]
    async fn an_end_within_a_message_is_none() {
        let mut received = received(&[1, 9], 4, Some("0"));
        received.frames.push(Bytes::from_static(b"\0\0\0\0\x05xy"));
        received.body = Body::empty();
        received.has_status = true;
        assert_eq!(next(&mut received).await, Err(Code::Internal));
    }
}
