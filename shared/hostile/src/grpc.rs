//! Steps of gRPC responses, the right ones; scripts replace, cut and reorder them.

use crate::frame::{flag, kind};
use crate::hpack::block;
use crate::script::{On, Script, Step};

/// The head of a response, which goes on.
pub const HEAD: &[(&str, &[u8])] = &[(":status", b"200"), ("content-type", b"application/grpc")];

/// The trailers of a call that went well.
pub const TRAILERS: &[(&str, &[u8])] = &[("grpc-status", b"0")];

/// Returns a message in its frame (gRPC over HTTP/2, "Length-Prefixed-Message").
pub fn message(bytes: &[u8]) -> Vec<u8> {
    framed(0, u32::try_from(bytes.len()).unwrap_or(u32::MAX), bytes)
}

/// Returns bytes behind a header with any flags and length.
pub fn framed(flags: u8, length: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags];
    frame.extend(length.to_be_bytes());
    frame.extend(bytes);
    frame
}

/// Returns HEADERS on the call's stream.
pub fn headers(fields: &[(&str, &[u8])]) -> Step {
    on_call(kind::HEADERS, flag::END_HEADERS, block(fields))
}

/// Returns HEADERS that end the stream.
pub fn last_headers(fields: &[(&str, &[u8])]) -> Step {
    let flags = flag::END_HEADERS | flag::END_STREAM;
    on_call(kind::HEADERS, flags, block(fields))
}

/// Returns DATA on the call's stream.
pub fn data(bytes: &[u8]) -> Step {
    on_call(kind::DATA, 0, bytes.to_vec())
}

/// Returns DATA that ends the stream.
pub fn last_data(bytes: &[u8]) -> Step {
    on_call(kind::DATA, flag::END_STREAM, bytes.to_vec())
}

/// Returns RST_STREAM of the call.
pub fn reset(code: u32) -> Step {
    on_call(kind::RST_STREAM, 0, code.to_be_bytes().to_vec())
}

/// Returns WINDOW_UPDATE.
pub fn window(on: On, bytes: u32) -> Step {
    Step::Frame {
        kind: kind::WINDOW_UPDATE,
        flags: 0,
        on,
        payload: bytes.to_be_bytes().to_vec(),
    }
}

/// Returns SETTINGS with these parameters.
pub fn settings(parameters: &[(u16, u32)]) -> Step {
    let mut payload = Vec::new();
    for (parameter, value) in parameters {
        payload.extend(parameter.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    on_connection(kind::SETTINGS, 0, payload)
}

/// Returns PING with zeros.
pub fn ping() -> Step {
    on_connection(kind::PING, 0, vec![0; 8])
}

/// Returns a frame on stream 0.
pub fn on_connection(kind: u8, flags: u8, payload: Vec<u8>) -> Step {
    Step::Frame {
        kind,
        flags,
        on: On::Connection,
        payload,
    }
}

/// Returns a frame on the call's stream.
pub fn on_call(kind: u8, flags: u8, payload: Vec<u8>) -> Step {
    Step::Frame {
        kind,
        flags,
        on: On::Call,
        payload,
    }
}

/// Returns a whole good response with one message.
pub fn answer(bytes: &[u8]) -> Script {
    vec![headers(HEAD), data(&message(bytes)), last_headers(TRAILERS)]
}

/// Returns an error without messages ("Trailers-Only").
pub fn error(status: &str, text: &str) -> Script {
    let fields = [
        HEAD,
        &[
            ("grpc-status", status.as_bytes()),
            ("grpc-message", text.as_bytes()),
        ],
    ];
    vec![last_headers(&fields.concat())]
}
