//! The media types of message bodies: one list for single messages and for streams.

mod accept;

pub use accept::accepts;
pub(crate) use accept::rank;

/// Media types of NDJSON, which has no registered one. Responses carry the first.
pub(crate) const NDJSON: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
];

/// The type that RFC 9996 registers, and older ones. Responses carry the first.
pub(crate) const PROTOBUF: &[&str] = &[
    "application/x-protobuf",
    "application/protobuf",
    "application/vnd.google.protobuf",
];

/// Returns the media type of a `Content-Type` header, in lower case and without parameters.
pub(crate) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// `application/json`, and what is JSON by its suffix (RFC 6839 section 3.1) among the types of
/// `application`: others, such as `image/svg+json`, denote something that is more than data.
pub(crate) fn is_json(essence: &str) -> bool {
    essence == "application/json" || has_suffix(essence, "+json")
}

/// JSON text sequences (RFC 7464, RFC 8091).
pub(crate) fn is_json_sequence(essence: &str) -> bool {
    essence == "application/json-seq" || has_suffix(essence, "+json-seq")
}

fn has_suffix(essence: &str, suffix: &str) -> bool {
    essence.starts_with("application/") && essence.ends_with(suffix)
}
