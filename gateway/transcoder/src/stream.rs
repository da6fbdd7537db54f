//! Framings of a response stream over plain HTTP: NDJSON, one JSON array, server-sent events.

use http::StatusCode;

use crate::accept;

/// How the messages of a stream follow each other in one HTTP body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value per line.
    Ndjson,
    /// One JSON array.
    JsonArray,
    /// Server-sent events (WHATWG HTML, section 9.2).
    Sse,
}

/// Writes the bytes around the messages of one stream. Each call appends a unit that should be flushed to the client.
#[derive(Debug)]
pub struct Writer {
    framing: Framing,
    written: u64,
}

// === impl Framing ===

impl Framing {
    /// Chooses by the `alt` query parameter, then by the `Accept` header (RFC 9110 section 12.5.1: highest quality, then order).
    ///
    /// # Errors
    /// `406 Not Acceptable` where the client accepts none of the framings.
    pub fn negotiate(accept: Option<&str>, alt: Option<&str>) -> Result<Framing, StatusCode> {
        match alt {
            Some("sse") => return Ok(Framing::Sse),
            Some("json") => return Ok(Framing::JsonArray),
            _ => {}
        }
        let accept = accept.unwrap_or_default();
        // The last of equal ranks wins, so what suits most clients stands last.
        [Framing::Sse, Framing::JsonArray, Framing::Ndjson]
            .into_iter()
            .filter_map(|framing| Some((accept::rank(accept, framing.names())?, framing)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, framing)| framing)
            .ok_or(StatusCode::NOT_ACCEPTABLE)
    }

    /// The `Content-Type` of the stream.
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Ndjson => "application/x-ndjson",
            Framing::JsonArray => "application/json",
            Framing::Sse => "text/event-stream",
        }
    }

    /// The media types by which clients ask for it; NDJSON has no registered one.
    fn names(self) -> &'static [&'static str] {
        match self {
            Framing::Ndjson => &[
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
                "application/x-jsonl",
            ],
            Framing::JsonArray => &["application/json"],
            Framing::Sse => &["text/event-stream"],
        }
    }
}

// === impl Writer ===

impl Writer {
    /// A writer at the start of its stream.
    pub fn new(framing: Framing) -> Self {
        Writer {
            framing,
            written: 0,
        }
    }

    /// The framing it writes.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends one message; `write` appends its JSON (on one line, as all JSON of this crate is).
    ///
    /// # Errors
    /// What `write` returns; the stream is as before the call then.
    pub fn message<E>(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        self.before(None, out);
        write(out).inspect_err(|_| out.truncate(start))?;
        self.after(out);
        self.written += 1;
        Ok(())
    }

    /// Appends the error that ends the stream, and the end. `status` is the JSON of [`crate::Schema::write_status`].
    pub fn error(mut self, status: &[u8], out: &mut Vec<u8>) {
        self.before(Some("error"), out);
        out.extend_from_slice(b"{\"error\":");
        out.extend_from_slice(status);
        out.push(b'}');
        self.after(out);
        self.written += 1;
        if self.framing == Framing::JsonArray {
            out.push(b']');
        }
    }

    /// Appends what ends a stream that went well. For SSE it is an event of its own, so that a client can tell the end from a
    /// broken connection, after which `EventSource` would connect again.
    pub fn end(self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson => {}
            Framing::JsonArray if self.written == 0 => out.extend_from_slice(b"[]"),
            Framing::JsonArray => out.push(b']'),
            Framing::Sse => out.extend_from_slice(b"event: end\ndata: {}\n\n"),
        }
    }

    /// Appends what keeps an idle connection open; nothing where the framing has no such thing.
    pub fn keep_alive(&self, out: &mut Vec<u8>) {
        if self.framing == Framing::Sse {
            out.extend_from_slice(b": keep-alive\n\n");
        }
    }

    fn before(&self, event: Option<&str>, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson => {}
            Framing::JsonArray => out.push(if self.written == 0 { b'[' } else { b',' }),
            Framing::Sse => {
                match event {
                    Some(event) => {
                        out.extend_from_slice(b"event: ");
                        out.extend_from_slice(event.as_bytes());
                    }
                    None => {
                        out.extend_from_slice(b"id: ");
                        let mut digits = itoa::Buffer::new();
                        out.extend_from_slice(digits.format(self.written + 1).as_bytes());
                    }
                }
                out.extend_from_slice(b"\ndata: ");
            }
        }
    }

    fn after(&self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Ndjson => out.push(b'\n'),
            Framing::JsonArray => {}
            Framing::Sse => out.extend_from_slice(b"\n\n"),
        }
    }
}

#[cfg(test)]
mod tests;
