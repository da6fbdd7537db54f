//! Records of a CSV file (RFC 4180) from chunks that end anywhere, in bounded memory, with exact
//! byte offsets.

use csv_core::{ReadRecordResult, Reader};

use super::{MAX_VALUE_CHARS, cut};

#[cfg(test)]
mod tests;

/// Longest record, in bytes without quotes: a row of an order is a few hundred.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Bytes kept of a longer record: enough for the excerpt, whose characters have up to four bytes.
const KEPT_BYTES: usize = 4 * MAX_VALUE_CHARS;

/// Most fields of one record.
const MAX_FIELDS: usize = 1024;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Splits bytes into records, with the byte offset of each record's end.
#[derive(Debug)]
pub struct Records {
    reader: Reader,
    offset: i64,
    /// Bytes of the byte order mark that were seen; all of them once the file's text began.
    mark: usize,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    too_large: bool,
}

/// One record; its fields are unquoted.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// Longer than [`MAX_RECORD_BYTES`] or too many fields: truncated.
    pub too_large: bool,
    /// Bytes of the file up to its end.
    pub end: i64,
}

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
        let (mut text, mut ends) = (vec![0; MAX_RECORD_BYTES], vec![0; MAX_FIELDS]);
        let mut reader = Reader::new();
        // The library strips a byte order mark from what it reads first, which here may be the
        // middle of a file.
        reader.read_record(&[], &mut text, &mut ends);
        Self {
            reader,
            offset,
            mark: BYTE_ORDER_MARK.len(),
            text,
            text_len: 0,
            ends,
            ends_len: 0,
            too_large: false,
        }
    }

    /// Returns the bytes of the file read so far.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Reads up to the end of the next record; `None` if the bytes end before it.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Record<'_>> {
        self.skip_mark(input);
        while !input.is_empty() {
            let taken = *input;
            let (complete, read) = self.feed(taken);
            self.offset += read as i64;
            *input = &taken[read..];
            if complete {
                return Some(self.record());
            }
        }
        None
    }

    /// Returns the last record if no line break ended it.
    pub fn finish(&mut self) -> Option<Record<'_>> {
        // A second time, because the first may have lacked space for the last field's end.
        let complete = self.feed(&[]).0 || self.feed(&[]).0;
        complete.then(|| self.record())
    }

    /// Feeds the parser once; returns whether a record is complete and how many bytes were read.
    fn feed(&mut self, input: &[u8]) -> (bool, usize) {
        let (text, ends) = (
            &mut self.text[self.text_len..],
            &mut self.ends[self.ends_len..],
        );
        let (result, read, text_len, ends_len) = self.reader.read_record(input, text, ends);
        self.text_len += text_len;
        self.ends_len += ends_len;
        match result {
            ReadRecordResult::Record => return (true, read),
            // The rest of the record overwrites the buffer.
            ReadRecordResult::OutputFull => (self.too_large, self.text_len) = (true, KEPT_BYTES),
            ReadRecordResult::OutputEndsFull => (self.too_large, self.ends_len) = (true, 0),
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        (false, read)
    }

    fn record(&mut self) -> Record<'_> {
        let (text_len, ends_len) = (
            std::mem::take(&mut self.text_len),
            std::mem::take(&mut self.ends_len),
        );
        let too_large = std::mem::take(&mut self.too_large);
        // The ends of an overwritten record are beyond its text.
        let ends = if too_large {
            &[]
        } else {
            &self.ends[..ends_len]
        };
        Record {
            text: &self.text[..text_len],
            ends,
            too_large,
            end: self.offset,
        }
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

    /// Returns the beginning of the record as readable text.
    pub fn excerpt(&self) -> String {
        if self.too_large {
            let kept = self.text.len().min(KEPT_BYTES);
            return cut(&String::from_utf8_lossy(&self.text[..kept]));
        }
        let fields: Vec<_> = (0..self.width())
            .map(|place| String::from_utf8_lossy(self.field(place)))
            .collect();
        cut(&fields.join(","))
    }
}
