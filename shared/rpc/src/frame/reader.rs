//! Cuts frames out of the chunks of a body.

use bytes::{Buf, Bytes, BytesMut};

use super::{Frame, FrameError, HEADER_BYTES, Header, Limits};

/// An incremental reader of frames. It holds at most one chunk and one begun frame.
///
/// A frame within one chunk is not copied. After an error the reader stays at the invalid frame and
/// reports it again.
#[derive(Debug)]
pub struct FrameReader {
    limits: Limits,
    /// The part of the last chunk that is not read yet.
    chunk: Bytes,
    /// A frame that continues in the next chunk.
    partial: BytesMut,
}

impl FrameReader {
    /// Creates a reader of messages of at most `max_message_bytes`, with any flags.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            limits: Limits::new(max_message_bytes),
            chunk: Bytes::new(),
            partial: BytesMut::new(),
        }
    }

    /// Accepts only frames whose flags are among these; 0 for none at all.
    #[must_use]
    pub fn accept_flags(mut self, flags: u8) -> Self {
        self.limits.flags = flags;
        self
    }

    /// Adds the next chunk of the body. Call [`FrameReader::next_frame`] until it returns `None`
    /// before the next chunk; a chunk that comes earlier is copied.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// Returns the next whole frame; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] and [`FrameError::Flags`], as soon as the header has arrived.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty()
            && let Some((flags, bytes)) = self.header(&self.chunk)?
            && bytes <= self.chunk.len()
        {
            let bytes = self.chunk.split_to(bytes);
            return Ok(Some(Frame { flags, bytes }));
        }
        self.complete()
    }

    /// Returns whether no frame has begun that is not returned yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.chunk.is_empty()
    }

    /// Returns how many bytes wait for the rest of their frame.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.chunk.len()
    }

    /// Checks that the body does not end within a frame.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }

    /// Takes the bytes of the frame that has begun, header included, to pass on a body that is
    /// truncated.
    pub fn take_rest(&mut self) -> Bytes {
        if self.partial.is_empty() {
            return std::mem::take(&mut self.chunk);
        }
        self.partial.extend_from_slice(&self.chunk);
        self.chunk.clear();
        self.partial.split().freeze()
    }

    /// Collects a frame that spans chunks.
    fn complete(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let header = self.header(&self.partial)?;
            let wanted = match header {
                Some((flags, bytes)) if bytes == self.partial.len() => {
                    let bytes = self.partial.split().freeze();
                    return Ok(Some(Frame { flags, bytes }));
                }
                Some((_, bytes)) => bytes,
                None => HEADER_BYTES,
            };
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let count = (wanted - self.partial.len()).min(self.chunk.len());
            self.partial.extend_from_slice(&self.chunk[..count]);
            self.chunk.advance(count);
        }
    }

    /// Returns flags and length of the frame that begins here, header included; `None` if the
    /// header is not complete.
    #[inline]
    fn header(&self, bytes: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
        let Some(header) = bytes.first_chunk() else {
            return Ok(None);
        };
        let header = Header::decode(*header);
        let length = self.limits.check(header)?;
        Ok(Some((header.flags, HEADER_BYTES + length)))
    }
}
