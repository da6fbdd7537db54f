//! Tells protocols apart by the first bytes of a connection, which are then read again.

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
use super::addresses::Counted;

/// How a client begins HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The content type of a handshake record (RFC 8446 §5.1), with which no HTTP request can begin.
const TLS_HANDSHAKE: u8 = 0x16;

/// A version of HTTP by its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A connection whose first bytes can be looked at; it counts as open until it is dropped, upgraded or not.
pub(crate) struct Socket {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    /// The part of `first` that is not read again yet.
    start: usize,
    end: usize,
    activity: Arc<Activity>,
    _open: Open,
}

/// What an open connection holds of the listener's bounds.
pub(crate) struct Open {
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
    pub(crate) _counted: Option<Counted>,
    pub(crate) _token: TaskTrackerToken,
}

// === impl Socket ===

impl Socket {
    pub(crate) fn new(stream: TcpStream, open: Open) -> Self {
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

    /// What goes on on this connection.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        self.activity.clone()
    }

    /// Whether the client begins a TLS handshake.
    pub(crate) async fn begins_tls(&mut self) -> io::Result<bool> {
        while self.end == 0 {
            self.fill().await?;
        }
        Ok(self.first[0] == TLS_HANDSHAKE)
    }

    /// Whether the client begins with the preface of HTTP/2; reads no further than is needed to tell.
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
        // What has arrived with them comes along: a reader that was given little would make room for more, and keep it.
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.activity.hear();
        }
        match polled {
            // What is here counts; the next read finds the end.
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
