//! Keeps one illegal response from ending the connection of all: header fields that h2 would answer
//! with a connection error are rewritten to such as it answers with a stream error.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use self::block::{Table, Unreadable};

mod block;

/// Length of a frame's head (RFC 9113 §4.1).
const HEAD_BYTES: usize = 9;

/// The largest frame that this side allows, which is the default (RFC 9113 §6.5.2).
const FRAME_BYTES_MAX: usize = 16_384;

/// Frames of one header block that are held back until it is complete. h2 refuses fewer.
const FRAMES_MAX: usize = 16;

/// Read at once while a frame is held back, in bytes.
const READ_BYTES: usize = 8192;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A connection to an upstream whose header fields are legal once they are read.
///
/// Bytes pass as they are, except for header blocks with a field that HTTP/2 does not allow. What
/// cannot be understood passes too: h2 ends such a connection, with good reason. At most
/// [`FRAMES_MAX`] frames are held back.
pub(crate) struct LegalFields<S> {
    stream: S,
    screen: Screen,
    /// To be read next.
    ready: BytesMut,
    /// The beginning of a frame or of a header block.
    held: BytesMut,
}

#[derive(Default)]
struct Screen {
    /// Bytes left of a frame that passes.
    skip: usize,
    /// Whether the rest of the connection passes.
    is_off: bool,
    table: Table,
}

/// Frames that are replaced.
struct Replaced {
    /// Bytes that they had.
    length: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

/// A header block, the bytes of its frames, and the head of the first.
struct Block<'a> {
    head: Head,
    bytes: Cow<'a, [u8]>,
    length: usize,
}

// === impl LegalFields ===

impl<S> LegalFields<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            screen: Screen::default(),
            ready: BytesMut::new(),
            held: BytesMut::new(),
        }
    }

    /// Moves all that can pass from `held` to `ready`.
    fn sift(&mut self) {
        loop {
            let (passed, replaced) = self.screen.pass(&self.held);
            self.ready.extend_from_slice(&self.held.split_to(passed));
            let Some(replaced) = replaced else { return };
            self.held.advance(replaced.length);
            self.ready.extend_from_slice(&replaced.bytes);
        }
    }

    /// Takes back from `buffer`, whose content begins at `from`, what cannot pass yet.
    fn take_back(&mut self, buffer: &mut ReadBuf<'_>, from: usize) {
        let new = &buffer.filled()[from..];
        let (passed, replaced) = self.screen.pass(new);
        let mut rest = &new[passed..];
        if let Some(replaced) = &replaced {
            self.ready.extend_from_slice(&replaced.bytes);
            rest = &rest[replaced.length..];
        }
        self.held.extend_from_slice(rest);
        buffer.set_filled(from + passed);
        if replaced.is_some() {
            self.sift();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LegalFields<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let from = buffer.filled().len();
        loop {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(buffer.remaining());
                buffer.put_slice(&this.ready.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                if buffer.filled().len() == from {
                    return Poll::Ready(Ok(()));
                }
                this.take_back(buffer, from);
                if buffer.filled().len() > from {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.reserve(READ_BYTES);
                let stream = Pin::new(&mut this.stream);
                if ready!(poll_read_buf(stream, context, &mut this.held))? == 0 {
                    // The end within a frame.
                    this.ready = this.held.split();
                } else {
                    this.sift();
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LegalFields<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

// === impl Screen ===

impl Screen {
    /// Returns how many bytes pass, and what replaces the frames after them. Without a replacement,
    /// the rest needs more bytes.
    fn pass(&mut self, bytes: &[u8]) -> (usize, Option<Replaced>) {
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            if self.is_off {
                return (bytes.len(), None);
            }
            if self.skip > 0 {
                let count = self.skip.min(rest.len());
                self.skip -= count;
                passed += count;
                if self.skip > 0 {
                    return (passed, None);
                }
                continue;
            }
            let Some(head) = Head::parse(rest) else {
                return (passed, None);
            };
            if head.kind != HEADERS {
                self.skip = HEAD_BYTES + head.length;
                continue;
            }
            let checked = Block::of(rest, head).and_then(|block| {
                let legal = block.as_ref().map(|block| self.table.check(&block.bytes));
                Ok(block.zip(legal.transpose()?))
            });
            match checked {
                Ok(Some((block, None))) => passed += block.length,
                Ok(Some((block, Some(legal)))) => {
                    let (length, bytes) = (block.length, frames(block.head, &legal));
                    return (passed, Some(Replaced { length, bytes }));
                }
                Ok(None) => return (passed, None),
                Err(Unreadable) => self.is_off = true,
            }
        }
    }
}

// === impl Head ===

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[high, middle, low, kind, flags, a, b, c, d, ..] = bytes else {
            return None;
        };
        Some(Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: [a, b, c, d],
        })
    }
}

// === impl Block ===

impl<'a> Block<'a> {
    /// Returns the block whose first frame has this head; `None` if it is not complete.
    fn of(bytes: &'a [u8], head: Head) -> Result<Option<Self>, Unreadable> {
        let Some(first) = payload(bytes, head)? else {
            return Ok(None);
        };
        let mut block = Self {
            head,
            bytes: Cow::Borrowed(fragment(head.flags, first)?),
            length: HEAD_BYTES + head.length,
        };
        let (mut last, mut frames) = (head, 1);
        while last.flags & END_HEADERS == 0 {
            let rest = &bytes[block.length..];
            let Some(next) = Head::parse(rest) else {
                return Ok(None);
            };
            frames += 1;
            let belongs = next.kind == CONTINUATION && next.stream == head.stream;
            if !belongs || frames > FRAMES_MAX {
                return Err(Unreadable);
            }
            let Some(more) = payload(rest, next)? else {
                return Ok(None);
            };
            block.bytes.to_mut().extend_from_slice(more);
            block.length += HEAD_BYTES + next.length;
            last = next;
        }
        Ok(Some(block))
    }
}

fn payload(bytes: &[u8], head: Head) -> Result<Option<&[u8]>, Unreadable> {
    if head.length > FRAME_BYTES_MAX {
        return Err(Unreadable);
    }
    Ok(bytes.get(HEAD_BYTES..HEAD_BYTES + head.length))
}

/// Returns the payload of HEADERS without padding and priority (RFC 9113 §6.2).
fn fragment(flags: u8, mut payload: &[u8]) -> Result<&[u8], Unreadable> {
    let mut padding = 0;
    if flags & PADDED != 0 {
        let (&length, rest) = payload.split_first().ok_or(Unreadable)?;
        (padding, payload) = (usize::from(length), rest);
    }
    if flags & PRIORITY != 0 {
        payload = payload.get(5..).ok_or(Unreadable)?;
    }
    let length = payload.len().checked_sub(padding).ok_or(Unreadable)?;
    Ok(&payload[..length])
}

/// Returns the frames of a block, on the stream of `head`.
fn frames(head: Head, block: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(block.len() + 2 * HEAD_BYTES);
    let mut kind = HEADERS;
    let mut pieces = block.chunks(FRAME_BYTES_MAX).peekable();
    while let Some(piece) = pieces.next() {
        let mut flags = if kind == HEADERS {
            head.flags & END_STREAM
        } else {
            0
        };
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        let [_, high, middle, low] = (piece.len() as u32).to_be_bytes();
        frames.extend([high, middle, low, kind, flags]);
        frames.extend(head.stream);
        frames.extend(piece);
        kind = CONTINUATION;
    }
    frames
}

#[cfg(test)]
mod tests;
