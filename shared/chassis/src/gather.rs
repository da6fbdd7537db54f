//! Gathers what the streams of an HTTP/2 connection have to send, so that it leaves in one write: a write costs more than all else
//! that a small call takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lock::lock;

#[cfg(test)]
mod tests;

/// What is held back at most, in bytes. It is there only while something is.
const HELD_BYTES_MAX: usize = 32 * 1024;

/// From this size on a write is worth a call of its own and not worth being copied, in bytes.
const LARGE_BYTES: usize = 8 * 1024;

/// Makes a stream of which nothing is sent before its connection rests, and what lets it go then.
pub(crate) fn hold<S>(stream: S) -> (Held<S>, Gather<S>) {
    let shared = Arc::new(Mutex::new(Writes {
        stream,
        held: BytesMut::new(),
        failed: None,
    }));
    (Held(shared.clone()), Gather(shared))
}

/// A stream as its connection sees it: it takes whatever is written and calls it flushed.
pub(crate) struct Held<S>(Arc<Mutex<Writes<S>>>);

/// What makes a connection on a [`Held`] stream one that can be driven.
#[must_use = "nothing is sent unless the connection is driven"]
pub(crate) struct Gather<S>(Arc<Mutex<Writes<S>>>);

/// A connection that writes once for all of its streams that are ready.
pub(crate) struct Gathered<S, C> {
    writes: Arc<Mutex<Writes<S>>>,
    connection: C,
    has_waited: bool,
}

/// Its connection ends with a panic, so nobody sends what that has left behind.
struct Writes<S> {
    stream: S,
    held: BytesMut,
    /// Found when nobody asked; told to the next who does.
    failed: Option<io::Error>,
}

// === impl Gather ===

impl<S> Gather<S> {
    pub(crate) fn drive<C>(self, connection: C) -> Gathered<S, C> {
        Gathered {
            writes: self.0,
            connection,
            has_waited: false,
        }
    }
}

// === impl Gathered ===

impl<S, C> Gathered<S, C> {
    pub(crate) fn connection(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<S, C> Future for Gathered<S, C>
where
    S: AsyncWrite + Unpin,
    C: Future + Unpin,
{
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        // A connection is woken by each of its streams, and a runtime runs it at once. It lets those that are ready go first.
        this.has_waited = !this.has_waited;
        if this.has_waited {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // One that is through has shut its stream down, which sends all.
        let ended = Pin::new(&mut this.connection).poll(context);
        if ended.is_pending() {
            let mut writes = lock(&this.writes);
            if let Poll::Ready(Err(error)) = writes.poll_send(context) {
                writes.failed = Some(error);
                context.waker().wake_by_ref();
            }
        }
        ended
    }
}

// === impl Writes ===

impl<S: AsyncWrite + Unpin> Writes<S> {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if self.held.len() + bytes > HELD_BYTES_MAX || bytes >= LARGE_BYTES {
            ready!(self.poll_empty(context))?;
        }
        if bytes >= LARGE_BYTES {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        if self.held.capacity() == 0 {
            self.held.reserve(HELD_BYTES_MAX);
        }
        for slice in slices {
            self.held.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    /// Sends all, as far as the stream takes it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.held.advance(sent),
            }
        }
        // A quiet connection keeps no room for what it may have to send.
        self.held = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

// === impl Held ===

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.0).check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writes = lock(&self.0);
        writes.check()?;
        ready!(writes.poll_send(context))?;
        Pin::new(&mut writes.stream).poll_shutdown(context)
    }
}
