//! Reads responses as strictly as the protocols are written.

use http::HeaderMap;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::{End, Outcome, Protocol, Raw};
use crate::support::text;

/// Flags of frames that hold no message: trailers of gRPC-Web, and the end of a stream of Connect.
const WEB_TRAILERS: u8 = 0x80;
const CONNECT_END: u8 = 2;

const INTERNAL: i32 = 13;

/// Names of codes in Connect, by their number.
const CONNECT_CODES: [&str; 17] = [
    "ok",
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Returns what a client makes of a response.
pub(super) fn outcome(protocol: Protocol, is_streaming: bool, raw: &Raw) -> Outcome {
    let mut texts = Vec::new();
    let end = match protocol {
        Protocol::Grpc => grpc(raw, is_streaming, &mut texts),
        Protocol::GrpcWeb => grpc_web(raw, is_streaming, &mut texts),
        Protocol::Connect if is_streaming => connect_stream(raw, &mut texts),
        Protocol::Connect => connect(raw, &mut texts),
        Protocol::Rest | Protocol::WebSocket => rest(raw, &mut texts),
    };
    let end = match end {
        // The response had no end of its own, and was cut off.
        End::Malformed(_) if !raw.is_whole => End::Aborted,
        end => end,
    };
    Outcome { texts, end }
}

/// Returns the flags and content of each frame, and whether the bytes end with a whole one.
fn frames(mut bytes: &[u8]) -> (Vec<(u8, &[u8])>, bool) {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        let [flags, length @ ..] = header;
        let length = u32::from_be_bytes(*length) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else {
            return (frames, false);
        };
        frames.push((*flags, content));
        bytes = rest;
    }
    (frames, bytes.is_empty())
}

/// Reads messages as a client does that has not said it takes compressed ones; returns whether they
/// are readable.
fn read_messages(frames: &[(u8, &[u8])], texts: &mut Vec<String>) -> bool {
    frames.iter().all(|(flags, content)| {
        let text = text(content).filter(|_| *flags == 0);
        texts.extend(text.clone());
        text.is_some()
    })
}

/// Returns the one code of a block of trailers.
fn code(trailers: &HeaderMap) -> Result<i32, &'static str> {
    let mut values = trailers.get_all("grpc-status").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err("not one grpc-status");
    };
    let text = value.to_str().unwrap_or_default();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let code = text.parse().ok().filter(|_| is_plain);
    code.ok_or("grpc-status is not a number")
}

/// Applies the rules that clients of gRPC have for what came before the status.
fn judge(code: i32, is_readable: bool, count: usize, is_streaming: bool) -> End {
    if code == 0 && (!is_readable || (!is_streaming && count != 1)) {
        return End::Code(INTERNAL);
    }
    End::Code(code)
}

fn grpc(raw: &Raw, is_streaming: bool, texts: &mut Vec<String>) -> End {
    if raw.status != 200 {
        return End::Malformed("HTTP status");
    }
    let is_trailers_only = raw.head.contains_key("grpc-status");
    let trailers = if is_trailers_only {
        &raw.head
    } else {
        &raw.trailers
    };
    let (frames, is_complete) = frames(&raw.body);
    let is_readable = read_messages(&frames, texts) && is_complete;
    if is_trailers_only && !raw.body.is_empty() {
        return End::Malformed("a status in the head, and messages");
    }
    match code(trailers) {
        Ok(code) => judge(code, is_readable, frames.len(), is_streaming),
        Err(why) => End::Malformed(why),
    }
}

fn grpc_web(raw: &Raw, is_streaming: bool, texts: &mut Vec<String>) -> End {
    if raw.status != 200 {
        return End::Malformed("HTTP status");
    }
    if raw.head.contains_key("grpc-status") && raw.body.is_empty() {
        return code(&raw.head).map_or_else(End::Malformed, End::Code);
    }
    let (mut frames, is_complete) = frames(&raw.body);
    let Some((flags, content)) = frames.pop().filter(|_| is_complete) else {
        read_messages(&frames, texts);
        return End::Malformed("ends within a frame");
    };
    let is_readable = read_messages(&frames, texts);
    if flags & WEB_TRAILERS == 0 {
        return End::Malformed("no trailers");
    }
    if frames.iter().any(|(flags, _)| flags & WEB_TRAILERS != 0) {
        return End::Malformed("trailers before the end");
    }
    let mut trailers = HeaderMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().map(http::HeaderName::from_bytes);
        let value = parts.next().map(|value| value.trim_ascii());
        let value = value.map(http::HeaderValue::from_bytes);
        let (Some(Ok(name)), Some(Ok(value))) = (name, value) else {
            return End::Malformed("trailers are no header fields");
        };
        trailers.append(name, value);
    }
    match code(&trailers) {
        Ok(code) => judge(code, is_readable, frames.len(), is_streaming),
        Err(why) => End::Malformed(why),
    }
}

fn connect(raw: &Raw, texts: &mut Vec<String>) -> End {
    if !raw.is_whole {
        return End::Aborted;
    }
    if raw.status == 200 {
        let Some(text) = text(&raw.body) else {
            return End::Code(INTERNAL);
        };
        texts.push(text);
        return End::Code(0);
    }
    let error = serde_json::from_slice(&raw.body).unwrap_or_default();
    connect_code(&error).map_or(End::Malformed("error"), End::Code)
}

fn connect_code(error: &Value) -> Option<i32> {
    match &error["code"] {
        Value::String(name) => {
            let at = CONNECT_CODES.iter().position(|known| known == name)?;
            i32::try_from(at).ok()
        }
        _ => None,
    }
}

fn connect_stream(raw: &Raw, texts: &mut Vec<String>) -> End {
    if raw.status != 200 {
        return End::Malformed("HTTP status");
    }
    let (mut frames, is_complete) = frames(&raw.body);
    let Some((flags, content)) = frames.pop().filter(|_| is_complete) else {
        read_messages(&frames, texts);
        return End::Malformed("ends within a frame");
    };
    let is_readable = read_messages(&frames, texts);
    if flags & CONNECT_END == 0 {
        return End::Malformed("no end of the stream");
    }
    if frames.iter().any(|(flags, _)| flags & CONNECT_END != 0) {
        return End::Malformed("an end before the end");
    }
    let Ok(end) = serde_json::from_slice::<Value>(content) else {
        return End::Malformed("the end is no JSON");
    };
    match end.get("error") {
        None if is_readable => End::Code(0),
        None => End::Code(INTERNAL),
        Some(error) => connect_code(error).map_or(End::Malformed("error"), End::Code),
    }
}

fn rest(raw: &Raw, texts: &mut Vec<String>) -> End {
    let mut code = (raw.status == 200).then_some(0);
    for line in raw.body.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let Ok(value) = serde_json::from_slice::<Value>(line) else {
            return End::Malformed("no JSON");
        };
        let error = match raw.status {
            200 => value.get("error"),
            _ => Some(&value),
        };
        match error {
            Some(error) => code = integer(&error["code"]),
            None => texts.extend(value["text"].as_str().map(str::to_owned)),
        }
    }
    if !raw.is_whole {
        return End::Aborted;
    }
    code.map_or(End::Malformed("error"), End::Code)
}

fn integer(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|code| i32::try_from(code).ok())
}

/// Reads a connection whose messages are JSON.
#[derive(Default)]
pub(super) struct WebSocket {
    texts: Vec<String>,
    error: Option<i32>,
    close: Option<u16>,
}

/// WebSocket close codes of calls that failed begin here; the gRPC code is added.
const CLOSE_CODES: u16 = 4000;

/// The close code of a gRPC code: of UNKNOWN for one that gRPC does not define.
fn close_code(code: i32) -> u16 {
    const UNKNOWN: u16 = 2;
    let code = u16::try_from(code).ok().filter(|code| *code <= 16);
    CLOSE_CODES + code.unwrap_or(UNKNOWN)
}

impl WebSocket {
    pub(super) fn message(&mut self, message: Message) {
        match message {
            Message::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap_or_default();
                match value.get("error") {
                    Some(error) => self.error = integer(&error["code"]),
                    None => self.texts.extend(value["text"].as_str().map(str::to_owned)),
                }
            }
            Message::Close(frame) => self.close = frame.map(|frame| frame.code.into()),
            _ => {}
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        let end = match (self.error, self.close) {
            (_, None) => End::Aborted,
            (None, Some(1000)) => End::Code(0),
            (Some(code), Some(close)) if close == close_code(code) => End::Code(code),
            _ => End::Malformed("error and close code differ"),
        };
        Outcome {
            texts: self.texts,
            end,
        }
    }
}
