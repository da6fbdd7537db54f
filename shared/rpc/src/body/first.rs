//! The first message of a request, read before anything is done with the rest.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use crate::frame::HEADER_BYTES;

/// A body whose first frames are read already.
struct HeldFrames {
    first: Option<Bytes>,
    rest: Body,
}

/// Waits until a body of whole frames has its first one; returns that, and the body as it was. Of a
/// body that ends without a frame, the first one is empty.
///
/// # Errors
/// Those of the body.
pub async fn hold(mut body: Body) -> Result<(Bytes, Body), Status> {
    let mut first = Bytes::new();
    while first.is_empty() {
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
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

/// Returns the bytes of the message in the first of these frames; none without a frame.
pub fn message(frames: &[u8]) -> &[u8] {
    let Some((header, rest)) = frames.split_first_chunk::<HEADER_BYTES>() else {
        return &[];
    };
    let [_, length @ ..] = *header;
    let length = u32::from_be_bytes(length) as usize;
    rest.get(..length).unwrap_or(rest)
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
    use http_body_util::{BodyExt, StreamBody};

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
