//! The framings of a response stream, and their negotiation.

use http::StatusCode;

use crate::media;

/// How the messages of a response stream follow each other in one HTTP body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value per line.
    Ndjson,
    /// One JSON array.
    JsonArray,
    /// Server-sent events (WHATWG HTML, section 9.2).
    Sse,
    /// Protobuf messages, each after its length as a varint, as `writeDelimitedTo` of the protobuf
    /// libraries writes them.
    Delimited,
}

// === impl Framing ===

impl Framing {
    /// Chooses by the `alt` query parameter, then by the `Accept` header (RFC 9110 section 12.5.1:
    /// highest quality, then order); NDJSON for those who take anything.
    ///
    /// # Errors
    /// `406 Not Acceptable` where the client accepts none of the framings.
    pub fn negotiate(accept: Option<&str>, alt: Option<&str>) -> Result<Framing, StatusCode> {
        Self::negotiate_or(Framing::Ndjson, accept, alt)
    }

    /// [`Framing::negotiate`] with another framing for those who take anything, such as Envoy's
    /// [`Framing::JsonArray`].
    ///
    /// `alt` is `sse`, `json`, `ndjson` or `proto`, and takes precedence over `Accept`; empty
    /// counts as absent.
    ///
    /// # Errors
    /// As [`Framing::negotiate`]; also for another `alt`.
    pub fn negotiate_or(
        preferred: Framing,
        accept: Option<&str>,
        alt: Option<&str>,
    ) -> Result<Framing, StatusCode> {
        match alt.unwrap_or_default() {
            "" => {}
            "sse" => return Ok(Framing::Sse),
            "json" => return Ok(Framing::JsonArray),
            "ndjson" => return Ok(Framing::Ndjson),
            "proto" => return Ok(Framing::Delimited),
            _ => return Err(StatusCode::NOT_ACCEPTABLE),
        }
        let accept = accept.unwrap_or_default();
        // `max_by_key` returns the last of equal ranks: least preferred first.
        [
            Framing::Delimited,
            Framing::Sse,
            Framing::JsonArray,
            Framing::Ndjson,
            preferred,
        ]
        .into_iter()
        .filter_map(|framing| Some((media::rank(accept, framing.names())?, framing)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, framing)| framing)
        .ok_or(StatusCode::NOT_ACCEPTABLE)
    }

    /// Returns the `Content-Type` of the stream. In that of [`Framing::Delimited`],
    /// `delimited=true` (as Spring does) distinguishes it from a single message.
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Ndjson => "application/x-ndjson",
            Framing::JsonArray => "application/json",
            Framing::Sse => "text/event-stream",
            Framing::Delimited => "application/x-protobuf; delimited=true",
        }
    }

    /// Returns whether messages are written as JSON, and not as their protobuf encoding.
    pub fn is_json(self) -> bool {
        self != Framing::Delimited
    }

    /// Returns the media types by which clients ask for it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Framing::Ndjson => media::NDJSON,
            Framing::JsonArray => &["application/json"],
            Framing::Sse => &["text/event-stream"],
            Framing::Delimited => media::PROTOBUF,
        }
    }
}

#[cfg(test)]
mod tests;
