//! Finds the records of a JSON text by its brackets and quotes, in bounded memory.

use std::io::{self, BufRead};

use transcoder::json::Cursor;

use crate::error::{Position, rules};
use crate::limits::MAX_RAW_BYTES;

/// Longest name on the way to the records, in bytes.
const MAX_NAME_BYTES: usize = 4_096;

/// Finds records.
pub(super) struct Scanner<R> {
    input: R,
    path: Vec<String>,
    max_bytes: usize,
    state: State,
    line: u64,
    offset: u64,
    record: Vec<u8>,
}

/// The part of the text that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Elements of the array; the first one, or others after commas.
    Elements { is_first: bool },
    /// The records were read; the objects around them are still open.
    After,
    Done,
}

/// A record, whose bytes the scanner keeps until the next one.
pub(super) struct Found {
    pub(super) start: Position,
    /// Only its first bytes are kept.
    pub(super) is_too_long: bool,
}

/// Why nothing more can be found.
pub(super) enum Stop {
    Io(io::Error),
    Rule(&'static str, String),
}

type Scan<T> = Result<T, Stop>;

// === impl Scanner ===

impl<R: BufRead> Scanner<R> {
    pub(super) fn new(input: R, path: Vec<String>, max_bytes: usize) -> Self {
        Scanner {
            input,
            path,
            max_bytes,
            state: State::Start,
            line: 1,
            offset: 0,
            record: Vec::new(),
        }
    }

    /// Returns the bytes of the last record.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.record
    }

    /// Returns the position of the next byte.
    pub(super) fn position(&self) -> Position {
        Position::Text {
            line: self.line,
            offset: self.offset,
        }
    }

    /// Finds the next record.
    pub(super) fn next(&mut self) -> Scan<Option<Found>> {
        if self.state == State::Start {
            self.enter()?;
            if self.space()? == Some(b'{') {
                // A single object stands for an array of one.
                self.state = State::After;
                return self.take().map(Some);
            }
            self.expect(b'[', "an array of records")?;
            self.state = State::Elements { is_first: true };
        }
        if let State::Elements { is_first } = self.state {
            match self.space()? {
                Some(b']') => self.pass(),
                Some(b',') if !is_first => {
                    self.pass();
                    return self.take().map(Some);
                }
                Some(_) if is_first => {
                    self.state = State::Elements { is_first: false };
                    return self.take().map(Some);
                }
                found => return Err(unexpected(found, "`,` or `]`")),
            }
            self.state = State::After;
        }
        if self.state == State::After {
            self.leave()?;
            self.state = State::Done;
        }
        Ok(None)
    }

    /// Goes to the records.
    fn enter(&mut self) -> Scan<()> {
        let path = std::mem::take(&mut self.path);
        for step in &path {
            let shown = path.join(".");
            let missing = || Stop::Rule(rules::PATH_MISSING, format!("`{shown}`, at `{step}`"));
            if self.space()? != Some(b'{') {
                return Err(missing());
            }
            self.pass();
            let mut is_first = true;
            while self.name(&mut is_first)? {
                if self.is_named(step)? {
                    break;
                }
                self.skip()?;
                if self.space()? == Some(b'}') {
                    return Err(missing());
                }
            }
            if is_first {
                return Err(missing());
            }
        }
        self.path = path;
        Ok(())
    }

    /// Closes the objects around the records, and reads the end of the text.
    fn leave(&mut self) -> Scan<()> {
        for _ in 0..self.path.len() {
            let mut is_first = false;
            while self.name(&mut is_first)? {
                self.skip()?;
            }
        }
        match self.space()? {
            None => Ok(()),
            found => Err(unexpected(found, "the end of the text")),
        }
    }

    /// Reads a name and its colon into `record`; returns whether the object goes on.
    fn name(&mut self, is_first: &mut bool) -> Scan<bool> {
        match self.space()? {
            Some(b'}') => {
                self.pass();
                return Ok(false);
            }
            Some(b',') if !*is_first => self.pass(),
            Some(_) if *is_first => {}
            found => return Err(unexpected(found, "`,` or `}`")),
        }
        *is_first = false;
        if self.space()? != Some(b'"') {
            let found = self.peek()?;
            return Err(unexpected(found, "a name in quotes"));
        }
        self.record.clear();
        self.value(MAX_NAME_BYTES)?;
        self.expect(b':', "`:`")?;
        Ok(true)
    }

    /// Returns whether the name that was read is this one, escapes resolved.
    fn is_named(&self, name: &str) -> Scan<bool> {
        let malformed = |_| Stop::Rule(rules::SYNTAX, "a malformed name".to_owned());
        let mut cursor = Cursor::new(&self.record).map_err(malformed)?;
        let found = cursor.string().map_err(malformed)?;
        Ok(found == name)
    }

    /// Passes over a value.
    fn skip(&mut self) -> Scan<()> {
        self.space()?;
        self.record.clear();
        self.value(0)?;
        self.record.clear();
        Ok(())
    }

    /// Reads a record.
    fn take(&mut self) -> Scan<Found> {
        if self.space()?.is_none() {
            return Err(unexpected(None, "a record"));
        }
        let start = self.position();
        self.record.clear();
        let is_too_long = self.value(self.max_bytes)?;
        if is_too_long {
            self.record.truncate(MAX_RAW_BYTES);
        }
        Ok(Found { start, is_too_long })
    }

    /// Reads a value into `record`, up to so many bytes; returns whether it has more.
    fn value(&mut self, max_bytes: usize) -> Scan<bool> {
        let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
        let (mut count, mut is_done) = (0_usize, false);
        while !is_done {
            let block = self.input.fill_buf().map_err(Stop::Io)?;
            let Some(first) = block.first().copied() else {
                // A number at the end of the text ends there.
                if depth == 0 && !is_string && count > 0 {
                    break;
                }
                return Err(unexpected(None, "the rest of a value"));
            };
            let mut used = 0;
            let is_scalar = count == 0 && !matches!(first, b'{' | b'[' | b'"');
            for byte in block {
                if is_string {
                    used += 1;
                    match byte {
                        _ if is_escaped => is_escaped = false,
                        b'\\' => is_escaped = true,
                        b'"' => {
                            is_string = false;
                            is_done = depth == 0;
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => is_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth > 0 => {
                            depth -= 1;
                            is_done = depth == 0;
                        }
                        // A scalar ends before what can't be in it.
                        b'}' | b']' | b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => {
                            is_done = true;
                            break;
                        }
                        _ => {}
                    }
                    used += 1;
                }
                if is_done {
                    break;
                }
            }
            if used == 0 && is_scalar {
                let found = Some(first);
                return Err(unexpected(found, "a value"));
            }
            let room = max_bytes.saturating_sub(self.record.len());
            let taken = block.get(..used).unwrap_or_default();
            self.record.extend_from_slice(&taken[..room.min(used)]);
            self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
            self.offset += used as u64;
            count += used;
            self.input.consume(used);
        }
        Ok(count > max_bytes)
    }

    fn expect(&mut self, byte: u8, what: &str) -> Scan<()> {
        match self.space()? {
            Some(found) if found == byte => {
                self.pass();
                Ok(())
            }
            // What is at the path is something else.
            found if byte == b'[' => match found {
                None => Err(unexpected(None, what)),
                Some(_) => Err(Stop::Rule(rules::PATH_MISSING, format!("expected {what}"))),
            },
            found => Err(unexpected(found, what)),
        }
    }

    /// Passes over white space and returns the next byte.
    fn space(&mut self) -> Scan<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pass(),
                found => return Ok(found),
            }
        }
    }

    fn peek(&mut self) -> Scan<Option<u8>> {
        let block = self.input.fill_buf().map_err(Stop::Io)?;
        Ok(block.first().copied())
    }

    /// Passes over the byte that was peeked at.
    fn pass(&mut self) {
        if let Ok([first, ..]) = self.input.fill_buf() {
            self.line += u64::from(*first == b'\n');
            self.offset += 1;
            self.input.consume(1);
        }
    }
}

fn unexpected(found: Option<u8>, expected: &str) -> Stop {
    match found {
        None => Stop::Rule(
            rules::TRUNCATED,
            format!("the text ends before {expected}"),
        ),
        Some(byte) => {
            let byte = byte.escape_ascii();
            Stop::Rule(rules::SYNTAX, format!("expected {expected}, found `{byte}`"))
        }
    }
}
