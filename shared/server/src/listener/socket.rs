//! A socket whose first bytes can be inspected before they are read.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::activity::Activity;
use super::addresses::AddressPermit;

/// The preface of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The content type of a TLS handshake record (RFC 8446 §5.1); no HTTP request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A version of HTTP by its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A connection with inspected first bytes; it counts as open until it is dropped, upgraded or not.
pub(crate) struct Socket {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    /// The part of `first` that is not read yet.
    start: usize,
    end: usize,
    activity: Arc<Activity>,
    _open: ConnectionPermits,
}

/// An open connection's share of the listener's limits.
pub(crate) struct ConnectionPermits {
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
    pub(crate) _address: AddressPermit,
    pub(crate) _token: TaskTrackerToken,
}

// === impl Socket ===

impl Socket {
    pub(crate) fn new(stream: TcpStream, open: ConnectionPermits) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        Self {
            stream,
            first: [0; PREFACE.len()],
            start: 0,
            end: 0,
            activity: Activity::new(),
            _open: open,
        }
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// Returns the activity of this connection.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        self.activity.clone()
    }

    /// Returns whether the client begins a TLS handshake.
    pub(crate) async fn begins_tls(&mut self) -> io::Result<bool> {
        while self.end == 0 {
            self.fill().await?;
        }
        Ok(self.first[0] == TLS_HANDSHAKE)
    }

    /// Returns whether the client begins with the preface of HTTP/2; reads no more than needed.
    pub(crate) async fn http(&mut self) -> io::Result<Http> {
        loop {
            let seen = &self.first[..self.end];
            if !PREFACE.starts_with(seen) {
                return Ok(Http::One);
            }
            if seen.len() == PREFACE.len() {
                return Ok(Http::Two);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.first[self.end..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.end += read;
                self.activity.hear();
                Ok(())
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let again = buffer.remaining().min(this.end - this.start);
        buffer.put_slice(&this.first[this.start..this.start + again]);
        this.start += again;
        if again > 0 && buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Further bytes are read along: after a short read, the reader would grow its buffer for
        // good.
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.hear();
        }
        match polled {
            // The inspected bytes count; the next read reports the end.
            Poll::Pending | Poll::Ready(Err(_)) if again > 0 => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
