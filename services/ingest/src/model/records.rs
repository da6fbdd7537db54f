//! Records of a CSV file (RFC 4180) from chunks that end anywhere, in bounded memory, with exact
//! byte offsets.

use csv_core::{ReadRecordResult, Reader};
use memchr::{memchr_iter, memchr2};

use super::{MAX_VALUE_CHARS, cut};

#[cfg(test)]
mod tests;

/// Longest record, in bytes: a row of an order is a few hundred.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Most lines of one record: a line break within quotes does not end it.
pub const MAX_RECORD_LINES: usize = 64;

/// Bytes kept of a flawed record: enough for the excerpt, whose characters have up to four bytes.
const KEPT_BYTES: usize = 4 * MAX_VALUE_CHARS;

/// Most fields of one record.
const MAX_FIELDS: usize = 1024;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Splits bytes into records, with the byte offset of each record's end.
///
/// A record that goes on beyond [`MAX_RECORD_BYTES`] or [`MAX_RECORD_LINES`], or whose quotes are
/// open at the end of the file, is flawed and ends with its first line: what follows is read again.
#[derive(Debug)]
pub struct Records {
    reader: Reader,
    /// Bytes of the file that the reader has been given.
    offset: i64,
    /// Bytes of the byte order mark that were seen; all of them once the file's text began.
    mark: usize,
    /// Bytes of the record that is being read, as they are in the file.
    raw: Vec<u8>,
    /// Line breaks among them.
    breaks: usize,
    /// Bytes that a flawed record had swallowed, from `again_at` on: they come before the input.
    again: Vec<u8>,
    again_at: usize,
    /// The first line is too large: its bytes are dropped up to its end.
    is_skipping: bool,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    has_too_many_fields: bool,
}

/// One record; its fields are unquoted.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// Why it has no fields.
    pub flaw: Option<Flaw>,
    /// Bytes of the file up to its end.
    pub end: i64,
}

/// Why a record can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A line longer than [`MAX_RECORD_BYTES`], or too many fields.
    TooLarge,
    /// A quote that is not closed within the bounds of a record.
    UnterminatedQuote,
}

/// The end of a record was reached, and its flaw.
type End = Option<Flaw>;

// === impl Records ===

impl Records {
    /// Reads a file from its first byte.
    pub fn from_start() -> Self {
        Self {
            mark: 0,
            ..Self::resume(0)
        }
    }

    /// Reads a file from a record's end on.
    pub fn resume(offset: i64) -> Self {
        let mut records = Self {
            reader: Reader::new(),
            offset,
            mark: BYTE_ORDER_MARK.len(),
            raw: Vec::new(),
            breaks: 0,
            again: Vec::new(),
            again_at: 0,
            is_skipping: false,
            // One byte more than a record may have.
            text: vec![0; MAX_RECORD_BYTES + 2],
            text_len: 0,
            ends: vec![0; MAX_FIELDS],
            ends_len: 0,
            has_too_many_fields: false,
        };
        records.reset();
        records
    }

    /// Returns the bytes of the file read so far.
    pub fn offset(&self) -> i64 {
        self.offset + (self.again.len() - self.again_at) as i64
    }

    /// Reads up to the end of the next record; `None` if the bytes end before it.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Record<'_>> {
        self.skip_mark(input);
        let end = self.advance_again().or_else(|| self.advance(input))?;
        Some(self.record(end))
    }

    /// Returns the next record after the last byte of the file; `None` once there is none.
    pub fn finish(&mut self) -> Option<Record<'_>> {
        let end = match self.advance_again() {
            Some(end) => end,
            None if std::mem::take(&mut self.is_skipping) => Some(Flaw::TooLarge),
            None if self.raw.is_empty() => return None,
            // A line break ends every record whose quotes are closed.
            None if self.is_ended_by_break() => self.width_flaw(),
            None => self.end_with_first_line(),
        };
        Some(self.record(end))
    }

    /// Reads what a flawed record had swallowed.
    fn advance_again(&mut self) -> Option<End> {
        if self.again_at == self.again.len() {
            return None;
        }
        let again = std::mem::take(&mut self.again);
        let mut rest = &again[self.again_at..];
        let end = self.advance(&mut rest);
        let left = rest.len();
        if self.again.is_empty() {
            self.again_at = again.len() - left;
            self.again = again;
        } else {
            // Flawed as well: its other lines come before the rest.
            let rest = &again[again.len() - left..];
            self.again.extend_from_slice(rest);
        }
        end
    }

    /// Reads up to the end of a record.
    fn advance(&mut self, input: &mut &[u8]) -> Option<End> {
        loop {
            if self.raw.is_empty() {
                self.skip_breaks(input);
            }
            if input.is_empty() {
                return None;
            }
            if self.is_skipping {
                if self.skip_line(input) {
                    return Some(Some(Flaw::TooLarge));
                }
                continue;
            }
            let room = (MAX_RECORD_BYTES + 1).saturating_sub(self.raw.len());
            let (complete, read) = self.feed(&input[..room.min(input.len())]);
            self.offset += read as i64;
            *input = &input[read..];
            let goes_on = !complete && self.raw.len() > MAX_RECORD_BYTES;
            if goes_on || self.breaks >= MAX_RECORD_LINES {
                if memchr2(b'\n', b'\r', &self.raw).is_some() {
                    return Some(self.end_with_first_line());
                }
                self.raw.truncate(KEPT_BYTES);
                self.is_skipping = true;
            } else if complete {
                return Some(self.width_flaw());
            }
        }
    }

    /// Feeds the parser once; returns whether a record is complete and how many bytes were read.
    fn feed(&mut self, input: &[u8]) -> (bool, usize) {
        let (complete, read) = self.parse(input);
        let taken = &input[..read];
        self.raw.extend_from_slice(taken);
        let text = if complete {
            &taken[..read.saturating_sub(1)]
        } else {
            taken
        };
        self.breaks += memchr_iter(b'\n', text).count();
        (complete, read)
    }

    fn parse(&mut self, input: &[u8]) -> (bool, usize) {
        let (text, ends) = (
            &mut self.text[self.text_len..],
            &mut self.ends[self.ends_len..],
        );
        let (result, read, text_len, ends_len) = self.reader.read_record(input, text, ends);
        self.text_len += text_len;
        self.ends_len += ends_len;
        match result {
            ReadRecordResult::Record => return (true, read),
            // The rest of the record overwrites the buffers.
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                self.has_too_many_fields = true;
                (self.text_len, self.ends_len) = (0, 0);
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        (false, read)
    }

    /// Returns whether a line break would end the record: else its quotes are open.
    fn is_ended_by_break(&mut self) -> bool {
        loop {
            match self.parse(b"\n") {
                (true, _) => return true,
                // Space lacked for the end of the last field.
                (false, 0) => {}
                (false, _) => return false,
            }
        }
    }

    /// Ends the record with its first line, and returns its other lines to the input.
    fn end_with_first_line(&mut self) -> End {
        let line = memchr2(b'\n', b'\r', &self.raw).map_or(self.raw.len(), |at| at + 1);
        self.offset -= (self.raw.len() - line) as i64;
        // It was empty, or is being read, and then its rest follows.
        self.again = self.raw.split_off(line);
        self.again_at = 0;
        Some(Flaw::UnterminatedQuote)
    }

    fn width_flaw(&self) -> End {
        self.has_too_many_fields.then_some(Flaw::TooLarge)
    }

    fn record(&mut self, flaw: End) -> Record<'_> {
        let (text_len, ends_len) = match flaw {
            None => (self.text_len, self.ends_len),
            Some(_) => {
                let kept = self.raw.len().min(KEPT_BYTES);
                self.text[..kept].copy_from_slice(&self.raw[..kept]);
                self.reset();
                (kept, 0)
            }
        };
        (self.text_len, self.ends_len) = (0, 0);
        (self.has_too_many_fields, self.breaks) = (false, 0);
        self.raw.clear();
        Record {
            text: &self.text[..text_len],
            ends: &self.ends[..ends_len],
            flaw,
            end: self.offset,
        }
    }

    /// Prepares the parser for the beginning of a record.
    fn reset(&mut self) {
        self.reader.reset();
        // The library strips a byte order mark from what it reads first, which here may be the
        // middle of a file.
        self.reader
            .read_record(&[], &mut self.text[KEPT_BYTES..], &mut self.ends);
    }

    /// Skips the line breaks before a record: blank lines, and the second half of `\r\n`.
    fn skip_breaks(&mut self, input: &mut &[u8]) {
        let is_break = |byte: &&u8| matches!(byte, b'\n' | b'\r');
        let breaks = input.iter().take_while(is_break).count();
        self.offset += breaks as i64;
        *input = &input[breaks..];
    }

    /// Drops bytes of the line; returns whether its end is reached.
    fn skip_line(&mut self, input: &mut &[u8]) -> bool {
        let end = memchr2(b'\n', b'\r', input);
        let read = end.map_or(input.len(), |at| at + 1);
        self.offset += read as i64;
        *input = &input[read..];
        self.is_skipping = end.is_none();
        end.is_some()
    }

    fn skip_mark(&mut self, input: &mut &[u8]) {
        while self.mark < BYTE_ORDER_MARK.len() {
            let Some((first, rest)) = input.split_first() else {
                return;
            };
            if *first == BYTE_ORDER_MARK[self.mark] {
                (self.mark, self.offset, *input) = (self.mark + 1, self.offset + 1, rest);
            } else {
                let seen = std::mem::replace(&mut self.mark, BYTE_ORDER_MARK.len());
                // At most two bytes, neither of which ends a record.
                self.feed(&BYTE_ORDER_MARK[..seen]);
            }
        }
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Returns the number of fields.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of a field; none if there is no such field.
    pub fn field(&self, place: usize) -> &'a [u8] {
        let start = if place == 0 {
            0
        } else {
            self.ends.get(place - 1).copied().unwrap_or_default()
        };
        self.ends
            .get(place)
            .and_then(|&end| self.text.get(start..end))
            .unwrap_or_default()
    }

    /// Returns the record as the header of a file.
    pub fn header(&self) -> Vec<String> {
        (0..self.width())
            .map(|place| String::from_utf8_lossy(self.field(place)).trim().to_owned())
            .collect()
    }

    /// Returns the beginning of the record as readable text; of a flawed one as the file has it.
    pub fn excerpt(&self) -> String {
        if self.flaw.is_some() {
            return cut(String::from_utf8_lossy(self.text).trim_end_matches(['\r', '\n']));
        }
        let mut text = Vec::with_capacity(self.text.len() + self.ends.len());
        for place in 0..self.width() {
            if place > 0 {
                text.push(b',');
            }
            text.extend_from_slice(self.field(place));
            if text.len() >= KEPT_BYTES {
                break;
            }
        }
        text.truncate(KEPT_BYTES);
        // Most texts need no change.
        match String::from_utf8(text) {
            Ok(text) if text.len() <= MAX_VALUE_CHARS && !text.contains('\0') => text,
            Ok(text) => cut(&text),
            Err(error) => cut(&String::from_utf8_lossy(error.as_bytes())),
        }
    }
}
