//! Writes the bytes around the messages of a response stream.

use std::time::Duration;

use crate::stream::Framing;

/// Writes one stream. Each call appends a unit that should be flushed to the client.
///
/// ```
/// use transcoder::stream::{Event, EventId, Framing, Writer};
///
/// let mut out = Vec::new();
/// let mut writer = Writer::new(Framing::Sse);
/// let event = Event { id: EventId::Text("page-7"), ..Event::default() };
/// writer.event(&event, &mut out, |out| {
///     out.extend_from_slice(b"{\"title\":\"Seven\"}"); // Route::write_response, in earnest
///     Ok::<(), std::convert::Infallible>(())
/// })?;
/// writer.end(&mut out);
/// assert_eq!(out, b"id: page-7\ndata: {\"title\":\"Seven\"}\n\nevent: end\ndata: {}\n\n");
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    framing: Framing,
    has_envelope: bool,
    written: u64,
}

/// Fields of a server-sent event beside its message; other framings omit them.
///
/// A value that its line can't carry (CR, LF; NUL in an id) is omitted, as a client would misread
/// it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The id that the client sends back as `Last-Event-ID` when it connects again.
    pub id: EventId<'a>,
    /// The type of the event; `message` for clients if there is none.
    pub event: Option<&'a str>,
    /// How long the client is to wait before it connects again, in whole milliseconds.
    pub retry: Option<Duration>,
}

/// The id of a server-sent event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EventId<'a> {
    /// The place of the message in this stream, from 1 on.
    #[default]
    Counted,
    /// One of the caller's own.
    Text(&'a str),
    /// None: the client keeps the one it had before.
    Unsaid,
}

/// How an HTTP body must end that carries an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Close {
    /// As all others do: the error is written.
    Clean,
    /// By breaking the transfer off (a reset, or no last chunk): the framing has no place for an
    /// error, and a client must not take the end for a good one.
    Abort,
}

// === impl Writer ===

impl Writer {
    /// Returns a writer at the start of its stream.
    pub fn new(framing: Framing) -> Self {
        Writer {
            framing,
            has_envelope: false,
            written: 0,
        }
    }

    /// Writes each message as `{"result":…}`, as grpc-gateway does, so that it can't be mistaken
    /// for an error. For NDJSON and the JSON array; server-sent events tell errors by their type.
    #[must_use]
    pub fn with_envelope(self) -> Self {
        let has_envelope = matches!(self.framing, Framing::Ndjson | Framing::JsonArray);
        Writer {
            has_envelope,
            ..self
        }
    }

    /// Returns the framing it writes.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends one message; `write` appends its JSON, or its protobuf encoding where the framing
    /// [is not JSON](Framing::is_json).
    ///
    /// # Errors
    /// The error of `write`; stream and `out` are as before the call then.
    pub fn message<E>(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.event(&Event::default(), out, write)
    }

    /// [`Writer::message`], with what a server-sent event says beside it.
    ///
    /// # Errors
    /// As [`Writer::message`].
    pub fn event<E>(
        &mut self,
        event: &Event<'_>,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        if self.framing == Framing::Delimited {
            let length = wire::open(out);
            write(out).inspect_err(|_| out.truncate(start))?;
            wire::close(out, length);
        } else {
            self.before(event, out);
            if self.has_envelope {
                out.extend_from_slice(b"{\"result\":");
            }
            let json = out.len();
            write(out).inspect_err(|_| out.truncate(start))?;
            put_on_one_line(out, json);
            if self.has_envelope {
                out.push(b'}');
            }
            self.after(out);
        }
        self.written += 1;
        Ok(())
    }

    /// Appends the error that ends the stream, and the end. `status` is the JSON of
    /// [`crate::Schema::write_status`].
    pub fn error(self, status: &[u8], out: &mut Vec<u8>) -> Close {
        if self.framing == Framing::Delimited {
            return Close::Abort;
        }
        let event = Event {
            id: EventId::Unsaid,
            event: Some("error"),
            retry: None,
        };
        self.before(&event, out);
        out.extend_from_slice(b"{\"error\":");
        let json = out.len();
        out.extend_from_slice(status);
        put_on_one_line(out, json);
        out.push(b'}');
        self.after(out);
        if self.framing == Framing::JsonArray {
            out.push(b']');
        }
        Close::Clean
    }

    /// Appends the end of a successful stream. For SSE it is an event, so that a
    /// client can tell the end from a broken connection, after which `EventSource` would connect
    /// again.
    pub fn end(self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson | Framing::Delimited => {}
            Framing::JsonArray if self.written == 0 => out.extend_from_slice(b"[]"),
            Framing::JsonArray => out.push(b']'),
            Framing::Sse => out.extend_from_slice(b"event: end\ndata: {}\n\n"),
        }
    }

    /// Appends what keeps an idle connection open; nothing where the framing has no such thing.
    pub fn keep_alive(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Sse => out.extend_from_slice(b": keep-alive\n\n"),
            // White space may stand before each token of an array (RFC 8259 §2).
            Framing::JsonArray => out.push(b'\n'),
            // Some readers fail at an empty line.
            Framing::Ndjson | Framing::Delimited => {}
        }
    }

    fn before(&self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson | Framing::Delimited => {}
            Framing::JsonArray => out.push(if self.written == 0 { b'[' } else { b',' }),
            Framing::Sse => {
                event.put(self.written.saturating_add(1), out);
                out.extend_from_slice(b"data: ");
            }
        }
    }

    fn after(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson => out.push(b'\n'),
            Framing::JsonArray | Framing::Delimited => {}
            Framing::Sse => out.extend_from_slice(b"\n\n"),
        }
    }
}

// === impl Event ===

impl Event<'_> {
    /// Appends the lines before the data.
    fn put(&self, number: u64, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        match self.id {
            EventId::Counted => put_line("id", digits.format(number), out),
            EventId::Text(id) if !id.contains('\0') => put_line("id", id, out),
            EventId::Text(_) | EventId::Unsaid => {}
        }
        if let Some(event) = self.event {
            put_line("event", event, out);
        }
        if let Some(retry) = self.retry {
            put_line("retry", digits.format(retry.as_millis()), out);
        }
    }
}

fn put_line(field: &str, value: &str, out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', value.as_bytes()).is_none() {
        for part in [field, ": ", value, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// JSON has line breaks only between its tokens, where a space does as well; both NDJSON and SSE
/// would end at one.
fn put_on_one_line(out: &mut [u8], start: usize) {
    let mut rest = out.get_mut(start..).unwrap_or_default();
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let Some((byte, tail)) = rest.get_mut(at..).and_then(<[u8]>::split_first_mut) else {
            return;
        };
        *byte = b' ';
        rest = tail;
    }
}

#[cfg(test)]
mod tests;
