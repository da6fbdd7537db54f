//! JSON: records on lines, or in an array at a path. Records are found by their brackets and then
//! read strictly, each on its own: a malformed one costs only itself.

mod scanner;
mod value;

use std::io::{self, BufRead, BufReader};
use std::sync::Arc;

use crate::error::{Flaw, Place, Position, Refusal, cut, kept, rules};
use crate::limits::BLOCK_BYTES;
use crate::settings::Settings;
use crate::text::{Mark, Text};
use crate::unpack::Bytes;
use crate::value::{Record, Value};

use scanner::{Found, Scanner, Stop};
use value::Mistake;

/// Reads a JSON text on each line (NDJSON). Blank lines are no records.
pub(crate) struct Lines {
    input: BufReader<Text>,
    max_bytes: usize,
    line: u64,
    offset: u64,
    member: Option<Arc<str>>,
    buffer: Vec<u8>,
}

/// Reads the elements of an array in a JSON text.
pub(crate) struct Array {
    scanner: Scanner<BufReader<Text>>,
    member: Option<Arc<str>>,
}

// === impl Lines ===

impl Lines {
    /// Begins to read a text.
    pub(crate) fn open(
        input: Bytes,
        settings: &Settings,
        member: Option<Arc<str>>,
    ) -> io::Result<Self> {
        let text = Text::open(input, settings.encoding(), Mark::Byte)?;
        Ok(Lines {
            input: BufReader::with_capacity(BLOCK_BYTES, text),
            max_bytes: settings.max_record_bytes(),
            line: 0,
            offset: 0,
            member,
            buffer: Vec::new(),
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Record, Flaw>>, Refusal> {
        loop {
            let position = Position::Text {
                line: self.line + 1,
                offset: self.offset,
            };
            let member = self.member.clone();
            let place = Place { member, position };
            let read = self.read_line();
            let (read, is_too_long) = read.map_err(|error| Refusal::of_io(&error, place.clone()))?;
            if read == 0 {
                return Ok(None);
            }
            if is_too_long {
                let value = String::from_utf8_lossy(&self.buffer);
                let rule = rules::RECORD_TOO_LARGE;
                return Ok(Some(Err(flaw(&self.buffer, place, None, rule, &value))));
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(Some(record(&self.buffer, place)));
            }
        }
    }

    /// Reads up to the end of the line; returns its bytes and whether they are too many, of which
    /// the first are kept then.
    fn read_line(&mut self) -> io::Result<(u64, bool)> {
        self.buffer.clear();
        let mut read = 0;
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            let end = memchr::memchr(b'\n', available);
            let count = end.map_or(available.len(), |at| at + 1);
            let room = (self.max_bytes + 1).saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&available[..room.min(count)]);
            self.input.consume(count);
            read += count as u64;
            self.offset += count as u64;
            self.line += u64::from(end.is_some());
            if end.is_some() || count == 0 {
                break;
            }
        }
        while let [.., b'\n' | b'\r'] = self.buffer.as_slice() {
            self.buffer.pop();
        }
        Ok((read, self.buffer.len() > self.max_bytes))
    }
}

// === impl Array ===

impl Array {
    /// Begins to read a text.
    pub(crate) fn open(
        input: Bytes,
        settings: &Settings,
        member: Option<Arc<str>>,
    ) -> io::Result<Self> {
        let text = Text::open(input, settings.encoding(), Mark::Byte)?;
        let input = BufReader::with_capacity(BLOCK_BYTES, text);
        let path = settings.steps().into_iter().map(str::to_owned).collect();
        Ok(Array {
            scanner: Scanner::new(input, path, settings.max_record_bytes()),
            member,
        })
    }

    /// Returns the next record.
    pub(crate) fn next(&mut self) -> Result<Option<Result<Record, Flaw>>, Refusal> {
        let member = self.member.clone();
        let found = self.scanner.next();
        match found {
            Ok(None) => Ok(None),
            Ok(Some(Found { start, is_too_long })) => {
                let position = start;
                let place = Place { member, position };
                let bytes = self.scanner.bytes();
                if is_too_long {
                    let value = String::from_utf8_lossy(bytes);
                    let rule = rules::RECORD_TOO_LARGE;
                    return Ok(Some(Err(flaw(bytes, place, None, rule, &value))));
                }
                Ok(Some(record(bytes, place)))
            }
            Err(stop) => {
                let position = self.scanner.position();
                let place = Place { member, position };
                Err(match stop {
                    Stop::Io(error) => Refusal::of_io(&error, place),
                    Stop::Rule(rule, value) => Refusal::new(rule, place, value),
                })
            }
        }
    }
}

/// Reads a record strictly.
fn record(bytes: &[u8], place: Place) -> Result<Record, Flaw> {
    match value::parse(bytes) {
        Ok(value @ Value::Map(_)) => Ok(Record {
            number: 0,
            place,
            value,
            raw: kept(bytes),
        }),
        Ok(other) => {
            let shown = other.shown();
            Err(flaw(bytes, place, None, rules::NOT_AN_OBJECT, &shown))
        }
        Err(Mistake { rule, path, value }) => {
            let path = (!path.is_empty()).then_some(path);
            Err(flaw(bytes, place, path, rule, &value))
        }
    }
}

fn flaw(
    raw: &[u8],
    place: Place,
    column: Option<String>,
    rule: &'static str,
    value: &str,
) -> Flaw {
    Flaw {
        number: 0,
        place,
        column,
        rule,
        value: cut(value),
        raw: kept(raw),
    }
}
