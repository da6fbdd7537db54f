//! Cuts the bytes of a request stream into single messages as they arrive, without looking at any
//! byte twice.

mod scan;

use wire::MAX_DEPTH;

use crate::error::{Failure, RequestError, Rule};
use crate::stream::message::clamp;
use crate::stream::{Format, Message};
use scan::{Scanned, Value};

/// Pulls single messages out of the chunks in which a body arrives.
///
/// A message that lies in one chunk is a part of that chunk; of others, what has arrived so far is
/// kept, never more than the bound on one message. Only boundaries are looked for: whether a
/// message is valid JSON is its encoder's to say. Nothing is read ahead, so a caller that stops
/// pulling stops the stream.
///
/// ```
/// use transcoder::stream::{Format, Splitter};
///
/// let mut splitter = Splitter::new(Format::Json, 4 << 20);
/// let mut messages = Vec::new();
/// for mut chunk in [&b"[{\"a\":1}, {\"b"[..], b"\":[]}]"] {
///     while let Some(message) = splitter.next(&mut chunk)? {
///         messages.push(message.bytes.to_vec());
///     }
/// }
/// if let Some(last) = splitter.finish()? {
///     messages.push(last.bytes.to_vec());
/// }
/// assert_eq!(messages, [&b"{\"a\":1}"[..], b"{\"b\":[]}"]);
/// # Ok::<(), transcoder::RequestError>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    format: Format,
    max_message_bytes: usize,
    place: State,
    /// The received part of a message that lies in several chunks.
    buffer: Vec<u8>,
    /// Where in the stream the next unread byte is.
    offset: u64,
    /// Where in the stream the message begins that is being read.
    start: u64,
    /// Messages handed out so far.
    count: u64,
}

/// Where in the grammar of its format a stream is.
#[derive(Debug)]
enum State {
    /// At the start, where the format is yet to be told by the first byte.
    Undecided,
    /// Before the array.
    Open,
    /// Behind the `[`.
    First,
    /// Behind an element of the array.
    Comma,
    /// Behind a comma.
    Next,
    /// Where a message may begin, or the stream may end.
    Free,
    /// Where a record separator must come, unless the stream ends.
    Separator,
    /// Behind a record separator.
    Record,
    /// After the array, or after [`Splitter::finish`].
    End,
    /// In the length of a message.
    Prefix { length: u64, shift: u32 },
    /// In a message.
    Inside(Value),
    /// In a message that is handed out, part of which was in the buffer.
    Delivered,
    /// Behind an error, which is all there is from now on.
    Failed(Failure),
}

const TRUNCATED: &str = "a bare number or word may be truncated unless white space follows";

/// Capacity of the buffer that is kept between messages: large ones are rare, and idle streams are
/// many.
const KEPT_BYTES: usize = 64 * 1024;

const RECORD_SEPARATOR: u8 = 0x1e;

/// Where a message that is complete lies.
enum Delivery<'c> {
    InChunk(&'c [u8]),
    InBuffer,
}

// === impl Format ===

impl Format {
    fn beginning(self) -> State {
        match self {
            Format::JsonArray => State::Open,
            Format::Json => State::Undecided,
            Format::Sequence => State::Separator,
            Format::Ndjson | Format::Concatenated | Format::Delimited => State::Free,
        }
    }

    /// Returns the delimiter after a message.
    fn behind_message(self) -> State {
        match self {
            Format::JsonArray => State::Comma,
            Format::Sequence => State::Separator,
            _ => State::Free,
        }
    }
}

// === impl Splitter ===

impl Splitter {
    /// Returns a splitter at the start of a stream, none of whose messages may be longer than
    /// `max_message_bytes`.
    pub fn new(format: Format, max_message_bytes: usize) -> Self {
        Splitter {
            format,
            max_message_bytes,
            place: format.beginning(),
            buffer: Vec::new(),
            offset: 0,
            start: 0,
            count: 0,
        }
    }

    /// Returns how many bytes are held of a message whose rest has not arrived.
    pub fn buffered(&self) -> usize {
        match self.place {
            State::Delivered => 0,
            _ => self.buffer.len(),
        }
    }

    /// Returns the next message that ends in this chunk, and moves past it; `None` once the chunk
    /// is consumed.
    ///
    /// # Errors
    /// The stream breaks its format, or a message is larger or nested deeper ([`MAX_DEPTH`]) than
    /// allowed. The path is the index of the message (`[17]`), the offset counts from the start of
    /// the stream. Every later call returns it again.
    pub fn next<'s, 'c: 's>(
        &'s mut self,
        chunk: &mut &'c [u8],
    ) -> Result<Option<Message<'s>>, RequestError> {
        self.release();
        match self.advance(chunk) {
            Ok(found) => Ok(found.map(|found| self.deliver(found))),
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// Returns the message that only the end of the stream ends: a last line without line feed, or
    /// a bare number or word.
    ///
    /// # Errors
    /// The stream ends where its format does not. As with [`Splitter::next`], an error stays.
    pub fn finish(&mut self) -> Result<Option<Message<'_>>, RequestError> {
        self.release();
        let last = std::mem::replace(&mut self.place, State::End);
        match self.check_end(last) {
            Ok(is_message) => Ok(is_message.then(|| self.deliver(Delivery::InBuffer))),
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// Lets go of the message that was handed out last.
    fn release(&mut self) {
        if matches!(self.place, State::Delivered) {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BYTES);
            self.place = self.format.behind_message();
        }
    }

    fn deliver<'s, 'c: 's>(&'s mut self, found: Delivery<'c>) -> Message<'s> {
        let index = self.count;
        self.count += 1;
        let bytes = match found {
            Delivery::InChunk(bytes) => bytes,
            Delivery::InBuffer => &self.buffer,
        };
        let is_line = self.format == Format::Ndjson;
        Message {
            bytes: if is_line { trim_end(bytes) } else { bytes },
            index,
            offset: self.start,
        }
    }

    fn advance<'c>(&mut self, chunk: &mut &'c [u8]) -> Result<Option<Delivery<'c>>, Failure> {
        loop {
            let room = self.max_message_bytes.saturating_sub(self.buffer.len());
            match &mut self.place {
                State::Failed(failure) => return Err(failure.clone()),
                State::Inside(value) => {
                    let scanned = value.scan(chunk, room);
                    return self.take(scanned, chunk);
                }
                _ if self.format == Format::Delimited => {}
                _ => {
                    let space = chunk.iter().take_while(|byte| is_space(**byte));
                    self.skip(space.count(), chunk);
                }
            }
            let Some(byte) = chunk.first() else {
                return Ok(None);
            };
            if self.step(*byte)? {
                self.skip(1, chunk);
            }
        }
    }

    /// Moves on over `count` bytes of the chunk, and returns them.
    fn skip<'c>(&mut self, count: usize, chunk: &mut &'c [u8]) -> &'c [u8] {
        let (head, rest) = chunk.split_at_checked(count).unwrap_or((chunk, &[]));
        *chunk = rest;
        self.offset += head.len() as u64;
        head
    }

    /// Deals with a byte between messages; returns whether it is done with, and not the first of a
    /// message.
    fn step(&mut self, byte: u8) -> Result<bool, Failure> {
        self.place = match (&self.place, byte) {
            (State::Undecided, b'[') => {
                self.format = Format::JsonArray;
                State::First
            }
            (State::Undecided, _) => {
                self.format = Format::Concatenated;
                return self.begin(byte);
            }
            (State::Open, b'[') => State::First,
            (State::Open, _) => return Err(self.stray("expected a JSON array")),
            (State::First | State::Comma, b']') => State::End,
            (State::Comma, b',') => State::Next,
            (State::Comma, _) => return Err(self.syntax("expected ',' or ']'")),
            (State::Next, b']') => return Err(self.syntax("expected a JSON value after ','")),
            (State::Separator | State::Record, RECORD_SEPARATOR) => State::Record,
            (State::Separator, _) => return Err(self.syntax("expected a record separator")),
            (State::End, _) => return Err(self.stray("unexpected text after the end")),
            (State::Prefix { length, shift }, _) => self.prefix(*length, *shift, byte)?,
            _ => return self.begin(byte),
        };
        Ok(true)
    }

    /// Begins a message at its first byte, which is read again as a part of it.
    fn begin(&mut self, byte: u8) -> Result<bool, Failure> {
        self.start = self.offset;
        self.place = if self.format == Format::Delimited {
            let (length, shift) = (0, 0);
            State::Prefix { length, shift }
        } else {
            let value = Value::beginning(byte, self.format == Format::Ndjson);
            State::Inside(value.ok_or_else(|| self.syntax("expected a JSON value"))?)
        };
        Ok(false)
    }

    /// One more byte of the length of a message.
    fn prefix(&mut self, length: u64, shift: u32, byte: u8) -> Result<State, Failure> {
        let bits = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && bits > 1) {
            return Err(self.syntax("the length of a message is not a varint of 64 bits"));
        }
        let length = length | bits << shift;
        if byte >= 0x80 {
            let shift = shift + 7;
            return Ok(State::Prefix { length, shift });
        }
        match usize::try_from(length) {
            Ok(left) if left <= self.max_message_bytes => {
                self.start = self.offset + 1;
                Ok(State::Inside(Value::Counted { left }))
            }
            _ => Err(self.too_long(self.start)),
        }
    }

    /// Moves the scanned part of a message out of the chunk.
    fn take<'c>(
        &mut self,
        scanned: Scanned,
        chunk: &mut &'c [u8],
    ) -> Result<Option<Delivery<'c>>, Failure> {
        match scanned {
            Scanned::More => {
                let part = self.skip(chunk.len(), chunk);
                self.buffer.extend_from_slice(part);
                Ok(None)
            }
            Scanned::End(length) => {
                let part = self.skip(length, chunk);
                self.check_behind(*chunk.first().unwrap_or(&b' '))?;
                if self.buffer.is_empty() {
                    self.place = self.format.behind_message();
                    return Ok(Some(Delivery::InChunk(part)));
                }
                self.buffer.extend_from_slice(part);
                self.place = State::Delivered;
                Ok(Some(Delivery::InBuffer))
            }
            Scanned::TooLong => {
                Err(self.too_long(self.start.saturating_add(self.max_message_bytes as u64)))
            }
            Scanned::TooDeep(length) => {
                let reason = format!("nested more than {MAX_DEPTH} levels deep");
                Err(self.limit(self.offset.saturating_add(length as u64), reason))
            }
        }
    }

    /// In a text sequence, white space must show that a bare number or word is whole (RFC 7464
    /// section 2.4).
    fn check_behind(&self, next: u8) -> Result<(), Failure> {
        match (&self.place, self.format) {
            (State::Inside(Value::Bare), Format::Sequence) if !is_space(next) => {
                Err(self.syntax(TRUNCATED))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the end of the stream at this place ends a message.
    fn check_end(&self, last: State) -> Result<bool, Failure> {
        match (last, self.format) {
            (State::Failed(failure), _) => Err(failure),
            (State::Open, _) => Err(self.stray("the body ends where a JSON array was expected")),
            (State::First | State::Comma | State::Next, _)
            | (State::Inside(Value::Bare), Format::JsonArray) => {
                Err(self.syntax("the body ends inside the array"))
            }
            (State::Inside(Value::Bare), Format::Sequence) => Err(self.syntax(TRUNCATED)),
            (State::Inside(Value::Line | Value::Bare), _) => Ok(true),
            (State::Inside(_) | State::Prefix { .. }, _) => {
                Err(self.syntax("the body ends inside a message"))
            }
            _ => Ok(false),
        }
    }

    fn fail(&mut self, failure: Failure) -> RequestError {
        self.buffer = Vec::new();
        let error = (*failure).clone();
        self.place = State::Failed(failure);
        error
    }

    /// Returns a fault outside of all messages.
    fn stray(&self, description: &str) -> Failure {
        RequestError::new(Rule::Syntax, description).offset(clamp(self.offset))
    }

    fn syntax(&self, description: &str) -> Failure {
        self.stray(description).at_index(clamp(self.count))
    }

    fn limit(&self, offset: u64, description: String) -> Failure {
        RequestError::new(Rule::LimitExceeded, description)
            .offset(clamp(offset))
            .at_index(clamp(self.count))
    }

    fn too_long(&self, offset: u64) -> Failure {
        let max = self.max_message_bytes;
        let mut failure = self.limit(offset, format!("the message is longer than {max} bytes"));
        failure.rule = Rule::TooLong;
        failure
    }
}

/// White space of JSON (RFC 8259 section 2).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [head @ .., last] = bytes
        && is_space(*last)
    {
        bytes = head;
    }
    bytes
}

#[cfg(test)]
mod tests;
