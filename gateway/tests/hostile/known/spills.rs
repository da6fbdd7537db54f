//! Scripts that make the gateway close the connection to the upstream, and with it the calls
//! beside.

/// Scripts of which calls beside fail in some runs only: those that may be repeated are, as often
/// as the retry budget allows.
const SPILL_RACES: &[&str] = &[
    "RST_STREAM of 3 bytes, after the head",
    "an invalid block",
    "a block that is cut",
    "100, then DATA",
    "DATA before the head",
    "an empty DATA frame 1,000 times",
    "DATA on another stream",
    "HEADERS on an even stream",
    "a head in frames of one byte",
    "DATA within a head",
    "CONTINUATION without a head",
    "PUSH_PROMISE",
    "DATA on stream 0, after the head",
    "DATA on stream 0, after a message",
    "DATA with too much padding, after the head",
    "DATA with too much padding, after a message",
    "DATA above the size that is allowed, after the head",
    "DATA above the size that is allowed, after a message",
    "HEADERS on stream 0, after the head",
    "HEADERS on stream 0, after a message",
    "RST_STREAM on stream 0, after the head",
    "RST_STREAM on stream 0, after a message",
    "RST_STREAM of 3 bytes, after a message",
    "RST_STREAM of an idle stream, after the head",
    "RST_STREAM of an idle stream, after a message",
    "SETTINGS on a stream, after the head",
    "SETTINGS on a stream, after a message",
    "SETTINGS of 5 bytes, after the head",
    "SETTINGS of 5 bytes, after a message",
    "SETTINGS, acknowledged with content, after the head",
    "SETTINGS, acknowledged with content, after a message",
    "SETTINGS, acknowledged once too often, after the head",
    "SETTINGS, acknowledged once too often, after a message",
    "SETTINGS with push 2, after the head",
    "SETTINGS with push 2, after a message",
    "SETTINGS with a window of 2^31, after the head",
    "SETTINGS with a window of 2^31, after a message",
    "SETTINGS with frames of 1 byte, after the head",
    "SETTINGS with frames of 1 byte, after a message",
    "PING of 7 bytes, after the head",
    "PING of 7 bytes, after a message",
    "PING on a stream, after the head",
    "PING on a stream, after a message",
    "WINDOW_UPDATE of 3 bytes, after the head",
    "WINDOW_UPDATE of 3 bytes, after a message",
    "WINDOW_UPDATE of 0 on the stream, after the head",
    "WINDOW_UPDATE of 0 on the stream, after a message",
    "WINDOW_UPDATE of 0 on the connection, after the head",
    "WINDOW_UPDATE of 0 on the connection, after a message",
    "WINDOW_UPDATE above 2^31 on the connection, after the head",
    "WINDOW_UPDATE above 2^31 on the connection, after a message",
    "a frame of 2^24 - 1 bytes",
    "HTTP/1 in the middle",
    "noise",
];

/// Returns whether calls beside a script may fail in some runs.
pub(crate) fn may_spill(script: &str) -> bool {
    SPILL_RACES.contains(&script) || closes(script)
}

/// Returns whether the upstream itself ends the connection, and with it what runs beside.
fn closes(script: &str) -> bool {
    let begins = ["GOAWAY ", "connection "];
    begins.iter().any(|name| script.starts_with(name)) || script.ends_with(", a close")
}

/// Scripts of which at least one call beside or after fails.
pub(crate) const SPILLS: &[&str] = &[];
