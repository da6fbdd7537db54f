//! The check of a call's first message, before the upstream gets anything of the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use rpc::frame::HEADER_BYTES;
use tonic::Status;
use tonic::body::Body;

/// Lets a call pass by its metadata and the bytes of its first message, before the upstream gets
/// anything of the call. A stream that ends without one has an empty message.
#[derive(Clone, Default)]
pub(crate) struct FirstMessageCheck {
    pub(crate) condition: Option<Condition>,
    pub(crate) record: Option<Record>,
    /// The record does not wait for the message: the upstream may be the first to speak.
    pub(crate) records_at_once: bool,
}

/// Decides by the metadata and the first message.
pub(crate) type Condition = Arc<dyn Fn(&HeaderMap, &[u8]) -> Result<(), Status> + Send + Sync>;

/// Records a call by its first message, if that is known.
pub(crate) type Record =
    Arc<dyn Fn(Option<&[u8]>) -> BoxFuture<'static, Result<(), Status>> + Send + Sync>;

/// A body whose first frames are read already.
struct HeldFrames {
    first: Option<Bytes>,
    rest: Body,
}

/// Waits until a body of whole frames has its first one; returns that, and the body as it was.
///
/// # Errors
/// Those of the body.
pub(crate) async fn hold(mut body: Body) -> Result<(Bytes, Body), Status> {
    let mut first = Bytes::new();
    while first.is_empty() {
        match body.frame().await {
            None => break,
            Some(frame) => first = frame?.into_data().unwrap_or_default(),
        }
    }
    let body = Body::new(HeldFrames {
        first: Some(first.clone()).filter(|first| !first.is_empty()),
        rest: body,
    });
    Ok((first, body))
}

/// Lets a call pass whose messages still arrive, and returns them as they were.
///
/// # Errors
/// That of the check, or of the body.
pub(crate) async fn pass(
    body: Body,
    check: &FirstMessageCheck,
    metadata: &HeaderMap,
) -> Result<Body, Status> {
    if !check.needs_message() {
        check.admit(metadata, None).await?;
        return Ok(body);
    }
    let (first, body) = hold(body).await?;
    check.admit(metadata, Some(message(&first))).await?;
    Ok(body)
}

/// Returns the bytes of the message in the first of these frames; none without a frame.
pub(crate) fn message(frames: &[u8]) -> &[u8] {
    let Some((header, rest)) = frames.split_first_chunk::<HEADER_BYTES>() else {
        return &[];
    };
    let [_, length @ ..] = *header;
    let length = u32::from_be_bytes(length) as usize;
    rest.get(..length).unwrap_or(rest)
}

impl FirstMessageCheck {
    /// Returns whether the check waits for the first message.
    pub(crate) fn needs_message(&self) -> bool {
        self.condition.is_some() || !self.records_at_once
    }

    /// Lets the call pass; `message` is `None` before the first one.
    ///
    /// # Errors
    /// The condition does not hold, or the call can't be recorded.
    pub(crate) async fn admit(
        &self,
        metadata: &HeaderMap,
        message: Option<&[u8]>,
    ) -> Result<(), Status> {
        if let (Some(condition), Some(message)) = (&self.condition, message) {
            condition(metadata, message)?;
        }
        match &self.record {
            // The message is not borrowed by the wait.
            Some(record) => record(message).await,
            None => Ok(()),
        }
    }
}

impl http_body::Body for HeldFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    fn body(chunks: &[&'static [u8]]) -> Body {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, Status>(Frame::data(Bytes::from_static(chunk))))
            .collect();
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }

    #[tokio::test]
    async fn the_first_frame_is_read_and_nothing_of_the_body_is_lost() {
        let chunks: [&'static [u8]; 3] = [b"", b"\0\0\0\0\x02ab\0\0\0\0\x01c", b"\0\0\0\0\0"];
        let (first, held) = hold(body(&chunks)).await.unwrap();
        let whole = held.collect().await.unwrap().to_bytes();
        assert_eq!((message(&first), &*whole), (&b"ab"[..], &*chunks.concat()));
    }

    #[tokio::test]
    async fn a_body_without_a_frame_has_an_empty_message() {
        let (first, _) = hold(body(&[])).await.unwrap();
        assert_eq!(message(&first), b"");
    }
}
