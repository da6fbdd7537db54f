//! Follows frames that pass through, of which nothing is kept.

use super::{FrameError, HEADER_BYTES, Header, Limits};

/// Follows the frames of a body that is passed on as it is: counts messages and bounds their size.
#[derive(Debug)]
pub struct FrameMeter {
    limits: Limits,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    message_left: usize,
    /// Bytes of the message that has begun.
    message_filled: usize,
}

impl FrameMeter {
    /// Creates a meter for messages of at most `max_message_bytes`, with any flags.
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            limits: Limits::new(max_message_bytes),
            header: [0; HEADER_BYTES],
            header_filled: 0,
            message_left: 0,
            message_filled: 0,
        }
    }

    /// Accepts only frames whose flags are among these; 0 for none at all.
    #[must_use]
    pub const fn accept_flags(mut self, flags: u8) -> Self {
        self.limits.flags = flags;
        self
    }

    /// Follows the next bytes of the body and returns how many messages begin in them.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] and [`FrameError::Flags`], as soon as the header has passed.
    #[inline]
    pub fn pass(&mut self, mut data: &[u8]) -> Result<u64, FrameError> {
        let mut begun = 0;
        while !data.is_empty() {
            if self.message_left > 0 {
                let passed = self.message_left.min(data.len());
                self.message_left -= passed;
                self.message_filled += passed;
                data = &data[passed..];
                continue;
            }
            let count = (HEADER_BYTES - self.header_filled).min(data.len());
            self.header[self.header_filled..][..count].copy_from_slice(&data[..count]);
            self.header_filled += count;
            data = &data[count..];
            if self.header_filled == HEADER_BYTES {
                self.message_left = self.limits.check(Header::decode(self.header))?;
                self.header_filled = 0;
                self.message_filled = 0;
                begun += 1;
            }
        }
        Ok(begun)
    }

    /// Returns how many bytes of a frame have passed that is not complete.
    #[inline]
    pub const fn begun_bytes(&self) -> usize {
        match self.message_left {
            0 => self.header_filled,
            _ => HEADER_BYTES + self.message_filled,
        }
    }

    /// Returns whether the bytes so far end between two frames.
    #[inline]
    pub const fn is_between_frames(&self) -> bool {
        self.message_left == 0 && self.header_filled == 0
    }
}
