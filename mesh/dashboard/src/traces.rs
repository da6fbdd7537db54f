//! Traces: received over OTLP/gRPC, kept within bounds, searched, and laid out as a waterfall.

mod query;
mod receive;
mod store;

use std::fmt::Write as _;

pub(crate) use query::Search;
pub(crate) use receive::serve;
pub(crate) use store::TraceStore;

/// Identity of a trace (W3C Trace Context, §3.2.2.3).
pub(crate) type TraceId = [u8; 16];
/// Identity of a span (W3C Trace Context, §3.2.2.4).
pub(crate) type SpanId = [u8; 8];

/// Returns bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads a trace's identity; `None` unless it is 32 hexadecimal digits.
pub(crate) fn trace_id(text: &str) -> Option<TraceId> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut id = TraceId::default();
    for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(id)
}
