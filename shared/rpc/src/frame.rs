//! Length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message"), which gRPC-Web and Connect streams use as well.

mod meter;
mod reader;

#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use meter::FrameMeter;
pub use reader::FrameReader;

/// One byte of flags and four bytes of length, big endian.
pub const HEADER_BYTES: usize = 5;

/// The flag of a compressed message.
pub const COMPRESSED: u8 = 0x01;

/// The flag of the last frame of a Connect stream (Connect protocol, "EndStreamResponse").
pub const END_STREAM: u8 = 0x02;

/// The flag of the trailers in a gRPC-Web body (PROTOCOL-WEB, "Message framing").
pub const TRAILERS: u8 = 0x80;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`COMPRESSED`], [`END_STREAM`], [`TRAILERS`].
    pub flags: u8,
    /// Bytes of the message.
    pub length: u32,
}

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    flags: u8,
    bytes: Bytes,
}

/// A frame that can't be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The message is larger than the reader accepts.
    #[error("a message of {length} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the message.
        length: usize,
        /// The largest accepted message, in bytes.
        limit: usize,
    },
    /// The flags are not among the accepted ones.
    #[error("unsupported frame flags {0:#04x}")]
    Flags(u8),
    /// The body ends within a frame.
    #[error("truncated frame")]
    Truncated,
}

/// The frames that a reader accepts.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_message_bytes: usize,
    flags: u8,
}

/// Encodes a message as one frame, which copies it.
///
/// # Errors
/// [`FrameError::TooLarge`] above 4 GiB.
pub fn encode(flags: u8, message: &[u8]) -> Result<Bytes, FrameError> {
    let header = Header::new(flags, message.len())?;
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + message.len());
    frame.put_slice(&header.encode());
    frame.put_slice(message);
    Ok(frame.freeze())
}

/// Appends an empty header to `buffer` and returns where the frame starts. The message is then appended in its final place, and
/// [`end`] completes the frame.
#[inline]
pub fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Fills in the header of the frame that starts at `start` and ends with `buffer`.
///
/// # Errors
/// [`FrameError::TooLarge`] above 4 GiB.
#[inline]
pub fn end(buffer: &mut [u8], start: usize, flags: u8) -> Result<(), FrameError> {
    let frame = buffer.get_mut(start..).unwrap_or_default();
    let length = frame.len().saturating_sub(HEADER_BYTES);
    if let Some(header) = frame.first_chunk_mut() {
        *header = Header::new(flags, length)?.encode();
    }
    Ok(())
}

// === impl Header ===

impl Header {
    /// Creates the header of a message of `length` bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] above 4 GiB.
    #[inline]
    pub fn new(flags: u8, length: usize) -> Result<Self, FrameError> {
        let too_large = |_| FrameError::TooLarge {
            length,
            limit: u32::MAX as usize,
        };
        let length = u32::try_from(length).map_err(too_large)?;
        Ok(Self { flags, length })
    }

    /// Reads a header.
    #[inline]
    pub const fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [flags, a, b, c, d] = bytes;
        Self {
            flags,
            length: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// Writes the header.
    #[inline]
    pub const fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.flags, a, b, c, d]
    }
}

// === impl Frame ===

impl Frame {
    /// Returns the flags of the frame.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Returns whether the message is compressed.
    #[inline]
    pub fn is_compressed(&self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// Returns the message, which may be compressed.
    #[inline]
    pub fn message(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Returns the message without its header; nothing is copied.
    #[inline]
    pub fn into_message(mut self) -> Bytes {
        self.bytes.advance(HEADER_BYTES);
        self.bytes
    }

    /// Returns header and message, to be passed on; nothing is copied.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

// === impl Limits ===

impl Limits {
    /// Accepts frames with any flags.
    const fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            flags: u8::MAX,
        }
    }

    #[inline]
    fn check(self, header: Header) -> Result<usize, FrameError> {
        if header.flags & !self.flags != 0 {
            return Err(FrameError::Flags(header.flags));
        }
        let length = header.length as usize;
        if length > self.max_message_bytes {
            return Err(FrameError::TooLarge {
                length,
                limit: self.max_message_bytes,
            });
        }
        Ok(length)
    }
}
