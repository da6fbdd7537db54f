//! gRPC frames that pass through untouched: only their lengths are read, against the bound of one message.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::error::Fault;
use http::HeaderMap;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use crate::arriving::Lifeline;
use crate::call::FRAME_HEADER_BYTES;

/// Why a body was broken off by the gateway, for whoever has to answer for it.
pub(crate) type Refused = Arc<OnceLock<Status>>;

/// A body that fails with a message over the bound.
pub(crate) struct BoundedFrames {
    inner: Body,
    lengths: Lengths,
    refused: Refused,
}

/// A response body on its way to the caller, which always ends in trailers: those of the upstream, or the gateway's own.
pub(crate) struct ResponseFrames {
    inner: Option<Body>,
    lengths: Lengths,
    refused: Refused,
    _lifeline: Option<Lifeline>,
}

/// Walks over frames without keeping them.
struct Lengths {
    max: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_filled: usize,
    message_left: usize,
}

// === impl BoundedFrames ===

impl BoundedFrames {
    pub(crate) fn new(inner: Body, max_message_bytes: usize) -> (Self, Refused) {
        let refused = Refused::default();
        let body = Self {
            inner,
            lengths: Lengths::new(max_message_bytes),
            refused: refused.clone(),
        };
        (body, refused)
    }
}

impl http_body::Body for BoundedFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Err(status) = self.lengths.check(frame)
        {
            let _ = self.refused.set(status.clone());
            return Poll::Ready(Some(Err(status)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

// === impl ResponseFrames ===

impl ResponseFrames {
    pub(crate) fn new(
        inner: Body,
        max_message_bytes: usize,
        refused: Refused,
        lifeline: Option<Lifeline>,
    ) -> Self {
        Self {
            inner: Some(inner),
            lengths: Lengths::new(max_message_bytes),
            refused,
            _lifeline: lifeline,
        }
    }

    /// Ends the response with the gateway's own trailers; dropping the upstream's body cancels the call.
    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        let status = self.refused.get().cloned().unwrap_or(status);
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(
            status
                .add_header(&mut trailers)
                .map(|()| Frame::trailers(trailers)),
        ))
    }
}

impl http_body::Body for ResponseFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match self.lengths.check(&frame) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(status) => self.end(status),
            },
            Poll::Ready(Some(Err(status))) => self.end(status),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}

// === impl Lengths ===

impl Lengths {
    fn new(max: usize) -> Self {
        Self {
            max,
            header: [0; FRAME_HEADER_BYTES],
            header_filled: 0,
            message_left: 0,
        }
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), Status> {
        let mut data: &[u8] = frame.data_ref().map_or(&[], |data| data);
        while !data.is_empty() {
            if self.message_left > 0 {
                let passed = self.message_left.min(data.len());
                self.message_left -= passed;
                data = &data[passed..];
                continue;
            }
            let taken = (FRAME_HEADER_BYTES - self.header_filled).min(data.len());
            self.header[self.header_filled..][..taken].copy_from_slice(&data[..taken]);
            self.header_filled += taken;
            data = &data[taken..];
            if self.header_filled == FRAME_HEADER_BYTES {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self) -> Result<(), Status> {
        let [_, length @ ..] = self.header;
        let length = u32::from_be_bytes(length) as usize;
        if length > self.max {
            let message = format!(
                "a message of {length} bytes is larger than the {} bytes that are passed on",
                self.max
            );
            return Err(Fault::resource_exhausted("MESSAGE_TOO_LARGE", message).into());
        }
        self.header_filled = 0;
        self.message_left = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
            bytes.resize(bytes.len() + length, 7);
        }
        bytes
    }

    #[test]
    fn lengths_are_found_however_the_bytes_are_cut() {
        let bytes = frames(&[0, 3, 10, 1]);
        for size in 1..=bytes.len() {
            let mut lengths = Lengths::new(10);
            for piece in bytes.chunks(size) {
                lengths
                    .check(&Frame::data(Bytes::copy_from_slice(piece)))
                    .unwrap();
            }
            assert_eq!(
                (lengths.header_filled, lengths.message_left),
                (0, 0),
                "{size}"
            );
            let mut lengths = Lengths::new(9);
            let outcome: Result<(), Status> = bytes
                .chunks(size)
                .try_for_each(|piece| lengths.check(&Frame::data(Bytes::copy_from_slice(piece))));
            assert_eq!(
                outcome.unwrap_err().code(),
                tonic::Code::ResourceExhausted,
                "{size}"
            );
        }
    }
}
