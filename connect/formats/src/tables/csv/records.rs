//! Records of CSV (RFC 4180 and its dialects) from chunks that end anywhere, in bounded memory,
//! with exact places.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr, memchr_iter, memchr2};

use crate::limits::{MAX_COLUMNS, MAX_RAW_BYTES, MAX_RECORD_LINES};

/// The characters of a dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Option<u8>,
    pub(crate) comment: Option<u8>,
}

/// Splits bytes into records.
///
/// A record that goes on beyond its bounds, or whose quotes are open at the end of the text, is
/// flawed and ends with its first line: what follows is read again.
#[derive(Debug)]
pub(crate) struct Records {
    reader: Reader,
    comment: Option<u8>,
    max_bytes: usize,
    /// Bytes of the text that the reader has been given.
    offset: u64,
    /// Lines before the next byte.
    lines: u64,
    /// The last byte was a carriage return, which makes one line break with a line feed.
    is_after_return: bool,
    /// Line and offset where the record begins.
    start: (u64, u64),
    /// Bytes of the record that is being read, as they are in the text.
    raw: Vec<u8>,
    /// Those of the last record.
    last: Vec<u8>,
    /// Line breaks among them.
    breaks: usize,
    /// Bytes that a flawed record had swallowed, from `again_at` on: they come before the input.
    again: Vec<u8>,
    again_at: usize,
    skip: Skip,
    /// Lines before the first record that are not read.
    leading: u32,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    has_too_many_fields: bool,
}

/// A line whose bytes are dropped up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    No,
    /// A line that is too large for a record.
    Large,
    /// A comment.
    Comment,
    /// A line before the first record.
    Leading,
}

/// One record; its fields are unquoted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    text: &'a [u8],
    ends: &'a [usize],
    /// Its bytes in the text.
    pub(crate) raw: &'a [u8],
    /// Why it has no fields.
    pub(crate) fault: Option<Fault>,
    /// Line where it begins, from 1.
    pub(crate) line: u64,
    /// Bytes of the text before it.
    pub(crate) offset: u64,
}

/// Why a record can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A record that is too long.
    TooLarge,
    /// Too many fields.
    TooManyFields,
    /// A quote that is not closed within the bounds of a record.
    UnterminatedQuote,
}

/// The end of a record was reached, and its fault.
type End = Option<Fault>;

// === impl Records ===

impl Records {
    /// Reads a text from its first byte, without the lines before its first record.
    pub(crate) fn new(dialect: Dialect, max_bytes: usize, leading: u32) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(dialect.delimiter);
        match dialect.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        builder.escape(dialect.escape);
        builder.double_quote(dialect.escape.is_none());
        let mut records = Records {
            reader: builder.build(),
            comment: dialect.comment,
            max_bytes,
            offset: 0,
            lines: 0,
            is_after_return: false,
            start: (1, 0),
            raw: Vec::new(),
            last: Vec::new(),
            breaks: 0,
            again: Vec::new(),
            again_at: 0,
            skip: Skip::No,
            leading,
            // One byte more than a record may have.
            text: vec![0; max_bytes + 2],
            text_len: 0,
            ends: vec![0; MAX_COLUMNS],
            ends_len: 0,
            has_too_many_fields: false,
        };
        records.reset();
        records
    }

    /// Returns the line of the next byte, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.lines + 1
    }

    /// Returns the bytes of the text so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Counts bytes that were read before, such as a line with the delimiter.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.count_lines(bytes);
    }

    /// Reads up to the end of the next record; `None` if the bytes end before it.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Row<'_>> {
        let end = self.advance_again().or_else(|| self.advance(input))?;
        Some(self.row(end))
    }

    /// Returns the next record after the last byte of the text; `None` once there is none.
    pub(crate) fn finish(&mut self) -> Option<Row<'_>> {
        let end = match self.advance_again() {
            Some(end) => end,
            None => match std::mem::replace(&mut self.skip, Skip::No) {
                Skip::Large => Some(Fault::TooLarge),
                Skip::Comment | Skip::Leading => return None,
                Skip::No if self.raw.is_empty() => return None,
                // A line break ends every record whose quotes are closed.
                Skip::No if self.is_ended_by_break() => self.width_fault(),
                Skip::No => self.end_with_first_line(),
            },
        };
        Some(self.row(end))
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
            if self.skip != Skip::No {
                if input.is_empty() {
                    return None;
                }
                let skip = self.skip;
                if self.skip_line(input) && skip == Skip::Large {
                    return Some(Some(Fault::TooLarge));
                }
                continue;
            }
            if self.raw.is_empty() {
                self.begin(input);
                if self.skip != Skip::No {
                    continue;
                }
            }
            if input.is_empty() {
                return None;
            }
            let room = (self.max_bytes + 1).saturating_sub(self.raw.len());
            let (complete, read) = self.feed(&input[..room.min(input.len())]);
            self.offset += read as u64;
            *input = &input[read..];
            let goes_on = !complete && self.raw.len() > self.max_bytes;
            if goes_on || self.breaks >= MAX_RECORD_LINES {
                if memchr2(b'\n', b'\r', &self.raw).is_some() {
                    return Some(self.end_with_first_line());
                }
                self.raw.truncate(MAX_RAW_BYTES);
                self.skip = Skip::Large;
            } else if complete {
                return Some(self.width_fault());
            }
        }
    }

    /// Passes over what comes before a record: lines without records.
    fn begin(&mut self, input: &mut &[u8]) {
        if self.leading > 0 {
            if !input.is_empty() {
                self.leading -= 1;
                self.skip = Skip::Leading;
            }
            return;
        }
        self.skip_breaks(input);
        self.start = (self.lines + 1, self.offset);
        if let (Some(comment), Some(first)) = (self.comment, input.first())
            && comment == *first
        {
            self.skip = Skip::Comment;
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
        self.offset -= (self.raw.len() - line) as u64;
        // It was empty, or is being read, and then its rest follows.
        self.again = self.raw.split_off(line);
        self.again_at = 0;
        Some(Fault::UnterminatedQuote)
    }

    fn width_fault(&self) -> End {
        self.has_too_many_fields.then_some(Fault::TooManyFields)
    }

    fn row(&mut self, fault: End) -> Row<'_> {
        std::mem::swap(&mut self.raw, &mut self.last);
        self.raw.clear();
        // The bytes of a line that is too large were counted as they were dropped.
        if fault != Some(Fault::TooLarge) {
            let last = std::mem::take(&mut self.last);
            self.count_lines(&last);
            self.last = last;
        }
        let (text_len, ends_len) = match fault {
            None => (self.text_len, self.ends_len),
            Some(_) => {
                self.reset();
                (0, 0)
            }
        };
        (self.text_len, self.ends_len) = (0, 0);
        (self.has_too_many_fields, self.breaks) = (false, 0);
        Row {
            text: &self.text[..text_len],
            ends: &self.ends[..ends_len],
            raw: &self.last,
            fault,
            line: self.start.0,
            offset: self.start.1,
        }
    }

    /// Prepares the parser for the beginning of a record.
    fn reset(&mut self) {
        self.reader.reset();
        // The library strips a byte order mark from what it reads first, which here may be the
        // middle of a text.
        self.reader
            .read_record(&[], &mut self.text, &mut self.ends);
    }

    /// Skips the line breaks before a record: blank lines, and the second half of `\r\n`.
    fn skip_breaks(&mut self, input: &mut &[u8]) {
        let is_break = |byte: &&u8| matches!(byte, b'\n' | b'\r');
        let breaks = input.iter().take_while(is_break).count();
        let (skipped, rest) = input.split_at(breaks);
        self.pass(skipped);
        *input = rest;
    }

    /// Drops bytes of the line; returns whether its end is reached.
    fn skip_line(&mut self, input: &mut &[u8]) -> bool {
        let end = match self.skip {
            // A blank line is one of them: `\r\n` must not be two.
            Skip::Leading => memchr(b'\n', input),
            _ => memchr2(b'\n', b'\r', input),
        };
        let (skipped, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        self.pass(skipped);
        *input = rest;
        if end.is_some() {
            self.skip = Skip::No;
        }
        end.is_some()
    }

    fn count_lines(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let is_second_half = at == 0 && self.is_after_return && rest[at] == b'\n';
            self.lines += u64::from(!is_second_half);
            self.is_after_return = rest[at] == b'\r';
            rest = &rest[at + 1..];
            if !rest.is_empty() && !matches!(rest[0], b'\n') {
                self.is_after_return = false;
            }
        }
        if !rest.is_empty() {
            self.is_after_return = false;
        }
    }
}

// === impl Row ===

impl<'a> Row<'a> {
    /// Returns the number of fields.
    pub(crate) fn width(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of a field; none if there is no such field.
    pub(crate) fn field(&self, place: usize) -> &'a [u8] {
        let start = match place.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
        };
        let end = self.ends.get(place);
        end.and_then(|&end| self.text.get(start..end))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
