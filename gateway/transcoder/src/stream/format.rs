//! How the messages of a request stream follow each other, told by its content type.

use crate::media;

/// How the messages of a request stream follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON value per line; blank lines count for nothing, the last line needs no line feed.
    Ndjson,
    /// The elements of one JSON array.
    JsonArray,
    /// JSON values one after the other, with or without white space between them, as grpc-gateway
    /// takes them.
    Concatenated,
    /// [`Format::JsonArray`] if the first byte is `[`, else [`Format::Concatenated`]: a single
    /// object is a stream of one.
    Json,
    /// JSON text sequence (RFC 7464): each value after a record separator, U+001E. A value that may
    /// be truncated (a bare number or word without white space after it) is rejected, as is
    /// everything that is not a sequence.
    Sequence,
    /// Protobuf messages, each after its length as a varint, as
    /// [`crate::stream::Framing::Delimited`] writes them.
    Delimited,
}

// === impl Format ===

impl Format {
    /// Returns the format of a `Content-Type`; `None` for an unsupported one. Parameters are
    /// ignored.
    ///
    /// `application/json` and all `+json` types of `application` are [`Format::Json`]. NDJSON has
    /// no registered type and goes by several; protobuf's is registered by RFC 9996, and has older
    /// names.
    pub fn of_content_type(content_type: &str) -> Option<Format> {
        let essence = media::essence(content_type);
        if media::NDJSON.contains(&&*essence) {
            Some(Format::Ndjson)
        } else if media::is_json(&essence) {
            Some(Format::Json)
        } else if media::is_json_sequence(&essence) {
            Some(Format::Sequence)
        } else if media::PROTOBUF.contains(&&*essence) {
            Some(Format::Delimited)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
