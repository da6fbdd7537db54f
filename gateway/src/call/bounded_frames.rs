//! Request frames that pass untouched: only their lengths are read, against the bound of one
//! message.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::observe::{self, RequestRecord};
use http_body::{Body as _, Frame};
use rpc::frame::FrameMeter;
use tonic::Status;
use tonic::body::Body;

use super::frame::{AbortReason, ByteLimit, record_reason, unacceptable};
use super::held::HeldBody;

/// A body that fails with a message over the bound.
pub(crate) struct BoundedFrames {
    inner: Body,
    meter: FrameMeter,
    limit: ByteLimit,
    refused: AbortReason,
    held: HeldBody,
    observed: RequestRecord,
}

// === impl BoundedFrames ===

impl BoundedFrames {
    /// `refused` receives the reason if the gateway aborts the body.
    pub(crate) fn new(inner: Body, limit: ByteLimit, refused: AbortReason, held: HeldBody) -> Self {
        Self {
            held,
            inner,
            meter: FrameMeter::new(limit.bytes),
            limit,
            refused,
            observed: observe::current(),
        }
    }

    fn pass(&mut self, data: &[u8]) -> Result<(), Status> {
        let passed = self.meter.pass(data);
        let begun = passed.map_err(|error| unacceptable(error, self.limit))?;
        self.observed.request_messages(begun);
        let is_last = self.inner.is_end_stream();
        self.held.arrived(data.len(), 0, is_last)?;
        Ok(())
    }
}

impl http_body::Body for BoundedFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(context);
        let passed = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(Ok(()), |data| this.pass(data)),
            Poll::Ready(Some(Err(status))) => Err(status.clone()),
            Poll::Ready(None) => Ok(()),
            Poll::Pending => this.held.waits(0).map_err(Status::from),
        };
        match passed {
            Ok(()) => polled,
            Err(status) => {
                record_reason(&this.refused, &status);
                Poll::Ready(Some(Err(status)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
