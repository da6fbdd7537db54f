//! Input of the XML parser: counted by lines, with a bound on one piece of markup or text.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Broken, rules};
use crate::limits::{MAX_RAW_BYTES, MAX_XML_PIECE_BYTES};
use crate::text::Text;

/// Counts what is read, and keeps the beginning of a record.
pub(super) struct Metered {
    inner: BufReader<Text>,
    lines: u64,
    offset: u64,
    /// Bytes since the piece began.
    piece: usize,
    kept: Vec<u8>,
}

// === impl Metered ===

impl Metered {
    pub(super) fn new(inner: BufReader<Text>) -> Self {
        Metered {
            inner,
            lines: 0,
            offset: 0,
            piece: 0,
            kept: Vec::new(),
        }
    }

    /// Begins a piece that may be a record.
    pub(super) fn begin(&mut self) {
        self.kept.clear();
        self.piece = 0;
    }

    /// Begins another piece of the record.
    pub(super) fn go_on(&mut self) {
        self.piece = 0;
    }

    /// Returns the beginning of the record.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Returns line and offset of the next byte.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.lines + 1, self.offset)
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Metered {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > MAX_XML_PIECE_BYTES {
            let value = format!("a piece of more than {MAX_XML_PIECE_BYTES} bytes");
            return Err(Broken::error(rules::RECORD_TOO_LARGE, value));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        let read = self.inner.buffer().get(..count).unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', read).count() as u64;
        let room = MAX_RAW_BYTES.saturating_sub(self.kept.len());
        self.kept.extend(read.iter().take(room));
        self.offset += count as u64;
        self.piece += count;
        self.inner.consume(count);
    }
}
