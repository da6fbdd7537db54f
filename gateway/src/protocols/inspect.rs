//! Bodies whose messages the gateway has to look into: each is checked by the contract's rules, or turned from JSON into wire
//! bytes or back, as it passes. One message is held at a time, and none is built.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use chassis::error::Fault;
use http::HeaderMap;
use http_body::Frame;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use transcoder::{MessageType, Validator};

use crate::api::Catalog;
use crate::call::frame::{self, FRAME_HEADER_BYTES, Refused, too_large};
use crate::failure::{Failure, violation};
use crate::policy::compression::{self, Coding, Levels, Undecodable};

/// The coding of the messages that say they are compressed (gRPC over HTTP/2, "Message-Encoding").
pub(crate) const ENCODING: &str = "grpc-encoding";

/// The codings that an answer may have.
pub(crate) const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// What can be looked into, as [`ACCEPT_ENCODING`] lists it.
const CODINGS: &str = "gzip,br,zstd,deflate";

/// The flag of a message that is compressed.
const COMPRESSED: u8 = 1;

/// Gives out whole messages, each of them looked into.
pub(crate) struct EachMessage {
    source: Body,
    buffer: BytesMut,
    work: Work,
    coding: Option<Coding>,
    max_bytes: usize,
    source_ended: bool,
    failed: bool,
    refused: Refused,
}

/// What is done with each message.
pub(crate) enum Work {
    /// It passes as it came, if it breaks no rule.
    Check(Validator),
    /// From JSON to wire bytes, for the upstream.
    ReadJson(Type, Option<Validator>),
    /// From wire bytes to JSON, for the caller; compressed where the upstream did so.
    WriteJson(Type, Levels),
}

/// A message type of the API as it was when the call began.
pub(crate) struct Type {
    pub(crate) catalog: Arc<Catalog>,
    /// Full name.
    pub(crate) name: String,
}

/// The coding that [`ENCODING`] names; `None` where messages are not compressed.
///
/// # Errors
/// UNIMPLEMENTED with the list of what is known, as the protocols demand.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Status> {
    let Some(value) = headers.get(ENCODING) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or_default();
    if name == "identity" || name.is_empty() {
        return Ok(None);
    }
    Coding::of(name)
        .map(Some)
        .ok_or_else(|| unknown_coding(name))
}

/// Leaves of the codings that the caller takes those that can be looked into on the way back.
pub(crate) fn restrict_codings(headers: &mut HeaderMap) {
    let lists = headers.get_all(ACCEPT_ENCODING).iter();
    let names = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    let known: Vec<&str> = names.filter_map(Coding::of).map(Coding::name).collect();
    match known.join(",").parse() {
        Ok(list) if !known.is_empty() => headers.insert(ACCEPT_ENCODING, list),
        _ => headers.remove(ACCEPT_ENCODING),
    };
}

fn unknown_coding(name: &str) -> Status {
    let message = format!("messages in the coding `{name}` are not taken, those in {CODINGS} are");
    let mut status = Status::from(Fault::new(
        Code::Unimplemented,
        "UNKNOWN_COMPRESSION",
        message,
    ));
    let list = MetadataValue::from_static(CODINGS);
    status.metadata_mut().insert(ACCEPT_ENCODING, list);
    status
}

// === impl EachMessage ===

impl EachMessage {
    /// What breaks the body off is also told to whoever holds `refused`.
    pub(crate) fn of(
        source: Body,
        work: Work,
        coding: Option<Coding>,
        max_bytes: usize,
        refused: Refused,
    ) -> Body {
        Body::new(Self {
            source,
            buffer: BytesMut::new(),
            work,
            coding,
            max_bytes,
            source_ended: false,
            failed: false,
            refused,
        })
    }

    /// Takes the next whole message out of the buffer and works on it; `None` if more bytes are needed.
    fn next_message(&mut self) -> Result<Option<Bytes>, Status> {
        if self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let mut header = &self.buffer[..FRAME_HEADER_BYTES];
        let flags = header.get_u8();
        let length = header.get_u32() as usize;
        if length > self.max_bytes {
            return Err(too_large(length, self.max_bytes));
        }
        if self.buffer.len() < FRAME_HEADER_BYTES + length {
            return Ok(None);
        }
        let frame = self.buffer.split_to(FRAME_HEADER_BYTES + length).freeze();
        self.work_on(flags, frame).map(Some)
    }

    fn work_on(&self, flags: u8, frame: Bytes) -> Result<Bytes, Status> {
        let sent = frame.slice(FRAME_HEADER_BYTES..);
        let message = match (flags, self.coding) {
            (0, _) => sent,
            (COMPRESSED, Some(coding)) => self.decompress(coding, &sent)?,
            (COMPRESSED, None) => {
                return Err(self.malformed("is compressed, and no coding is named"));
            }
            _ => return Err(self.malformed("has flags that do not exist")),
        };
        match &self.work {
            Work::Check(validator) => {
                check(validator, &message)?;
                Ok(frame)
            }
            Work::ReadJson(of, validator) => {
                let mut frame = frame::begin_frame();
                // A message without any bytes is the empty one, also for clients that write JSON.
                let text: &[u8] = if message.is_empty() { b"{}" } else { &message };
                of.message()?
                    .read_json(text, &mut frame)
                    .map_err(Failure::from)
                    .map_err(|failure| failure.status)?;
                if let Some(validator) = validator {
                    check(validator, &frame[FRAME_HEADER_BYTES..])?;
                }
                frame::end_frame(frame)
            }
            Work::WriteJson(of, levels) => {
                let mut frame = frame::begin_frame();
                of.message()?
                    .write_json(&message, &mut frame)
                    .map_err(Failure::from)
                    .map_err(|failure| failure.status)?;
                match self.coding.filter(|_| flags == COMPRESSED) {
                    None => frame::end_frame(frame),
                    Some(coding) => recompress(coding, *levels, &frame[FRAME_HEADER_BYTES..]),
                }
            }
        }
    }

    fn decompress(&self, coding: Coding, sent: &Bytes) -> Result<Bytes, Status> {
        match compression::decompress(coding, sent, self.max_bytes) {
            Ok(message) => Ok(message.into()),
            Err(Undecodable::Malformed) => {
                Err(self.malformed(&format!("is no valid {}", coding.name())))
            }
            Err(Undecodable::TooLarge) => {
                let message = format!(
                    "a message expands to more than the {} bytes that are passed on",
                    self.max_bytes
                );
                Err(Fault::resource_exhausted("MESSAGE_TOO_LARGE", message).into())
            }
        }
    }

    /// A message that is wrong below its content; of a response that is the upstream's fault.
    fn malformed(&self, what: &str) -> Status {
        let message = format!("a message {what}");
        match &self.work {
            Work::WriteJson(..) => Fault::new(Code::Internal, "BAD_UPSTREAM_MESSAGE", message),
            _ => Fault::new(Code::Internal, "MALFORMED_MESSAGE", message),
        }
        .into()
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.failed = true;
        self.source = Body::empty();
        let _ = self.refused.set(status.clone());
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for EachMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        loop {
            match this.next_message() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(None) => {}
                Err(status) => return this.fail(status),
            }
            if this.source_ended {
                if this.buffer.is_empty() {
                    return Poll::Ready(None);
                }
                let status = this.malformed("is cut off");
                return this.fail(status);
            }
            match ready!(Pin::new(&mut this.source).poll_frame(context)) {
                None => this.source_ended = true,
                Some(Err(status)) => {
                    this.failed = true;
                    frame::tell(&this.refused, &status);
                    return Poll::Ready(Some(Err(status)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.buffer.extend_from_slice(&data),
                    Err(_) if !this.buffer.is_empty() => {
                        let status = this.malformed("is cut off");
                        return this.fail(status);
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || (self.buffer.is_empty() && self.source.is_end_stream())
    }
}

// === impl Type ===

impl Type {
    fn message(&self) -> Result<MessageType<'_>, Status> {
        let found = self.catalog.schema.message(&self.name);
        found.ok_or_else(|| {
            chassis::error::internal(anyhow::anyhow!("the schema lacks {}", self.name)).into()
        })
    }
}

/// The violations that a caller of the JSON API would be told.
fn check(validator: &Validator, wire: &[u8]) -> Result<(), Status> {
    let found = validator.check(wire).map_err(|error| {
        let message = format!("the request message is malformed: {error}");
        Fault::invalid_argument("INVALID_MESSAGE", message)
    })?;
    if found.is_empty() {
        return Ok(());
    }
    let mut fault = Fault::invalid_argument("INVALID_FIELD", found.to_string());
    fault.violations = found.listed.into_iter().map(violation).collect();
    Err(fault.into())
}

fn recompress(coding: Coding, levels: Levels, message: &[u8]) -> Result<Bytes, Status> {
    let compressed = compression::compress(coding, levels, message)
        .map_err(|error| Status::from(chassis::error::internal(error)))?;
    let mut frame = frame::begin_frame();
    frame[0] = COMPRESSED;
    frame.extend_from_slice(&compressed);
    frame::end_frame(frame)
}

#[cfg(test)]
mod tests;
