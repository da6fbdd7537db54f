//! Bounds the message that a client has begun to send over a WebSocket: its memory and its pace.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use admission::Part;
use chassis::stalled::Waits;
use rpc::lock::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::Status;

/// The message that has begun; clones are the same.
#[derive(Clone)]
pub(super) struct PartialMessage(Arc<Mutex<Partial>>);

struct Partial {
    bytes: usize,
    part: Part,
    waits: Waits,
}

/// A socket whose reads are counted for the message that has begun.
pub(super) struct CountedReads<S> {
    socket: S,
    partial: PartialMessage,
}

/// The error of a read that is over a bound.
#[derive(Debug)]
struct Overdue(Status);

// === impl PartialMessage ===

impl PartialMessage {
    pub(super) fn new(part: Part, waits: Waits) -> Self {
        Self(Arc::new(Mutex::new(Partial {
            bytes: 0,
            part,
            waits,
        })))
    }

    /// Notes that a message is complete.
    pub(super) fn complete(&self) {
        let mut partial = lock(&self.0);
        partial.bytes = 0;
        partial.waits.begin();
        // Fewer bytes than before always have room.
        let _: Result<_, _> = partial.part.set(0);
    }
}

// === impl CountedReads ===

impl<S> CountedReads<S> {
    pub(super) fn new(socket: S, partial: PartialMessage) -> Self {
        Self { socket, partial }
    }
}

/// Returns the reason of a failed read, if a bound was it.
pub(super) fn overdue(error: &io::Error) -> Option<Status> {
    let source = error.get_ref()?.downcast_ref::<Overdue>()?;
    Some(source.0.clone())
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedReads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let mut partial = lock(&this.partial.0);
        let Poll::Ready(read) = Pin::new(&mut this.socket).poll_read(context, buffer) else {
            if partial.bytes == 0 {
                return Poll::Pending;
            }
            let stalled = ready!(partial.waits.poll_stalled(context));
            return Poll::Ready(Err(io::Error::other(Overdue(stalled))));
        };
        read?;
        let count = buffer.filled().len() - before;
        partial.bytes += count;
        let bytes = partial.bytes;
        let is_slow = partial.waits.arrived(count);
        let held = partial.part.set(bytes).map_err(Status::from);
        Poll::Ready(
            is_slow
                .and(held)
                .map_err(|status| io::Error::other(Overdue(status))),
        )
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedReads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

// === impl Overdue ===

impl fmt::Display for Overdue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.message())
    }
}

impl std::error::Error for Overdue {}
