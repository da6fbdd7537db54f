//! Request frames that pass untouched: only their lengths are read, against the bound of one
//! message.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::observe::{self, RequestRecord};
use http_body::Frame;
use rpc::frame::FrameMeter;
use tonic::Status;
use tonic::body::Body;

use super::frame::{AbortReason, record_reason, unacceptable};

/// A body that fails with a message over the bound.
pub(crate) struct BoundedFrames {
    inner: Body,
    meter: FrameMeter,
    refused: AbortReason,
    observed: RequestRecord,
}

// === impl BoundedFrames ===

impl BoundedFrames {
    /// `refused` receives the reason if the gateway aborts the body.
    pub(crate) fn new(inner: Body, max_message_bytes: usize, refused: AbortReason) -> Self {
        Self {
            inner,
            meter: FrameMeter::new(max_message_bytes),
            refused,
            observed: observe::current(),
        }
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
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                match self.meter.pass(data) {
                    Ok(begun) => self.observed.request_messages(begun),
                    Err(error) => {
                        let status = unacceptable(error);
                        record_reason(&self.refused, &status);
                        return Poll::Ready(Some(Err(status)));
                    }
                }
            }
            Poll::Ready(Some(Err(status))) => record_reason(&self.refused, status),
            _ => {}
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
