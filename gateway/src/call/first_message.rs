//! The check of a call's first message, before the upstream gets anything of the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use rpc::frame::HEADER_BYTES;
use tonic::Status;
use tonic::body::Body;

/// Lets a call pass by its metadata and the bytes of its first message. A stream that ends without
/// one has an empty message.
pub(crate) type FirstMessageCheck =
    Arc<dyn Fn(&HeaderMap, &[u8]) -> Result<(), Status> + Send + Sync>;

/// A body whose first frames are read already.
struct HeldFrames {
    first: Option<Bytes>,
    rest: Body,
}

/// Waits until a body of whole frames has its first one, which `check` lets pass; returns the body
/// as it was.
///
/// # Errors
/// That of the check, or of the body.
pub(crate) async fn hold(
    mut body: Body,
    check: impl FnOnce(&[u8]) -> Result<(), Status>,
) -> Result<Body, Status> {
    let mut first = Bytes::new();
    while first.is_empty() {
        match body.frame().await {
            None => break,
            Some(frame) => first = frame?.into_data().unwrap_or_default(),
        }
    }
    check(&first)?;
    Ok(Body::new(HeldFrames {
        first: Some(first).filter(|first| !first.is_empty()),
        rest: body,
    }))
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
    async fn the_first_frame_is_checked_and_nothing_of_the_body_is_lost() {
        let chunks: [&'static [u8]; 3] = [b"", b"\0\0\0\0\x02ab\0\0\0\0\x01c", b"\0\0\0\0\0"];
        let mut checked = Vec::new();
        let check = |frames: &[u8]| {
            checked.extend_from_slice(message(frames));
            Ok(())
        };
        let held = hold(body(&chunks), check).await.unwrap();
        let whole = held.collect().await.unwrap().to_bytes();
        assert_eq!((&*checked, &*whole), (&b"ab"[..], &*chunks.concat()));
    }

    #[tokio::test]
    async fn a_body_without_a_frame_has_an_empty_message() {
        let check = |frames: &[u8]| match message(frames) {
            [] => Err(Status::permission_denied("empty")),
            _ => Ok(()),
        };
        let refused = hold(body(&[]), check).await.err().unwrap();
        assert_eq!(refused.message(), "empty");
    }
}
