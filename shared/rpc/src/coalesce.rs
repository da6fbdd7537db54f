//! Coalesces the writes of an HTTP/2 connection: a write costs more than all other work of a small call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lock::lock;

#[cfg(test)]
mod tests;

/// The largest buffer, in bytes. It is allocated only while it holds something.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// A write of this size or more is passed on without a copy, in bytes.
const LARGE_BYTES: usize = 8 * 1024;

/// Splits a stream into the half that an HTTP/2 connection writes to, and the one that flushes it when the connection is idle.
pub fn buffer<S>(stream: S) -> (WriteBuffer<S>, Flusher<S>) {
    let shared = Arc::new(Mutex::new(Writes {
        stream,
        buffer: BytesMut::new(),
        failed: None,
    }));
    (WriteBuffer(shared.clone()), Flusher(shared))
}

/// A stream for an HTTP/2 connection: it buffers small writes, and reports them as flushed.
#[derive(Debug)]
pub struct WriteBuffer<S>(Arc<Mutex<Writes<S>>>);

/// Flushes the [`WriteBuffer`] of a connection.
#[derive(Debug)]
#[must_use = "nothing is sent unless the connection is driven"]
pub struct Flusher<S>(Arc<Mutex<Writes<S>>>);

/// An HTTP/2 connection that writes once for all of its streams that are ready.
#[derive(Debug)]
pub struct Driver<S, C> {
    writes: Arc<Mutex<Writes<S>>>,
    connection: C,
    has_waited: bool,
}

/// A panic while it is locked ends the connection, so a partial state is never sent.
#[derive(Debug)]
struct Writes<S> {
    stream: S,
    buffer: BytesMut,
    /// An error of a flush, which the next write reports.
    failed: Option<io::Error>,
}

// === impl Flusher ===

impl<S> Flusher<S> {
    /// Returns the connection with its flushes; it must be polled in place of the connection.
    pub fn drive<C>(self, connection: C) -> Driver<S, C> {
        Driver {
            writes: self.0,
            connection,
            has_waited: false,
        }
    }
}

// === impl Driver ===

impl<S, C> Driver<S, C> {
    /// Returns the connection.
    pub fn connection(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<S, C> Future for Driver<S, C>
where
    S: AsyncWrite + Unpin,
    C: Future + Unpin,
{
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        // Each stream wakes the connection, and the runtime polls it at once: yield once, so that other ready streams write too.
        this.has_waited = !this.has_waited;
        if this.has_waited {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A connection that has ended has shut its stream down, which sends everything.
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
        if self.buffer.len() + bytes > BUFFER_BYTES_MAX || bytes >= LARGE_BYTES {
            ready!(self.poll_empty(context))?;
        }
        if bytes >= LARGE_BYTES {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(BUFFER_BYTES_MAX);
        }
        for slice in slices {
            self.buffer.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    /// Sends the buffer and flushes the stream.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.buffer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.buffer.advance(sent),
            }
        }
        // An idle connection keeps no buffer.
        self.buffer = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn check(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

// === impl WriteBuffer ===

impl<S: AsyncRead + Unpin> AsyncRead for WriteBuffer<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBuffer<S> {
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
