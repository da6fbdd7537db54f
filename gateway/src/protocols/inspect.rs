//! Inspects messages in a body: validates them, or converts JSON ⇄ protobuf. One message is held at
//! a time, and none is built.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use admission::Excess;
use bytes::Bytes;
use chassis::error::Fault;
use compression::{Coding, Levels, Undecodable};
use http::{HeaderMap, HeaderName};
use http_body::{Body as _, Frame};
use learning::TypeLookups;
use rpc::frame::{COMPRESSED, FrameReader, HEADER_BYTES};
use rpc::headers::list;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use transcoder::{MessageType, WireError};

use crate::api::Catalog;
pub(crate) use crate::call::frame::ENCODING;
use crate::call::frame::{self, AbortReason, ByteLimit};
use crate::call::{HeldBody, ResponseMask};
use crate::failure::Failure;
use crate::policy::MessagePolicy;

/// The codings that an answer may have.
pub(crate) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The supported codings, as [`ACCEPT_ENCODING`] lists them.
const CODINGS: &str = "gzip,br,zstd,deflate";

/// A body of whole, inspected messages.
pub(crate) struct InspectedBody {
    source: Body,
    frames: FrameReader,
    /// The message that waits for the type of its Any.
    postponed: Option<rpc::frame::Frame>,
    work: MessageTask,
    coding: Option<Coding>,
    limit: ByteLimit,
    source_ended: bool,
    failed: bool,
    refused: AbortReason,
    /// `None` for a response.
    held: Option<HeldBody>,
}

/// The task for each message.
pub(crate) enum MessageTask {
    /// It passes as it came, if it breaks no rule.
    Check(MessagePolicy),
    /// From JSON to wire bytes, for the upstream.
    ReadJson(ApiType, MessagePolicy),
    /// From wire bytes to JSON, for the caller; compressed where the upstream did so.
    WriteJson(ApiType, Levels, Option<ResponseMask>),
    /// Without what the caller may not see; compressed where the upstream did so.
    Mask(ResponseMask, Levels),
}

/// A message type of the API as it was when the call began.
pub(crate) struct ApiType {
    catalog: Arc<Catalog>,
    /// The method whose message it is, as `/package.Service/Method`.
    method: String,
    /// Full name.
    name: String,
    lookups: TypeLookups,
}

/// The coding that [`ENCODING`] names; `None` where messages are not compressed.
///
/// # Errors
/// UNIMPLEMENTED with the supported codings, as the protocols demand.
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

/// Returns the frame of a request message that was compressed, without its compression.
pub(crate) fn decompressed(
    coding: Coding,
    sent: &Bytes,
    limit: ByteLimit,
) -> Result<Bytes, Status> {
    let message =
        compression::decompress(coding, sent, limit.bytes).map_err(|error| match error {
            Undecodable::TooLarge => limit.exceeded("a decompressed message"),
            Undecodable::Malformed | Undecodable::Padded => {
                let message = format!("a message is not valid {}", coding.name());
                Fault::new(Code::Internal, "MALFORMED_MESSAGE", message).into()
            }
        })?;
    let mut frame = frame::begin_frame();
    frame.extend_from_slice(&message);
    frame::end_frame(frame, 0)
}

/// Leaves of the codings that the caller takes those that can be looked into on the way back.
pub(crate) fn restrict_codings(headers: &mut HeaderMap) {
    let names = list(headers, ACCEPT_ENCODING);
    let known: Vec<&str> = names.filter_map(Coding::of).map(Coding::name).collect();
    match known.join(",").parse() {
        Ok(list) if !known.is_empty() => headers.insert(ACCEPT_ENCODING, list),
        _ => headers.remove(ACCEPT_ENCODING),
    };
}

fn unknown_coding(name: &str) -> Status {
    let message = format!("unsupported message coding `{name}`; supported: {CODINGS}");
    let mut status = Status::from(Fault::new(
        Code::Unimplemented,
        "UNKNOWN_COMPRESSION",
        message,
    ));
    let list = MetadataValue::from_static(CODINGS);
    status.metadata_mut().insert("grpc-accept-encoding", list);
    status
}

// === impl InspectedBody ===

impl InspectedBody {
    /// `refused` receives the error if the body is aborted.
    pub(crate) fn of(
        source: Body,
        work: MessageTask,
        coding: Option<Coding>,
        limit: ByteLimit,
        refused: AbortReason,
        held: Option<HeldBody>,
    ) -> Body {
        Body::new(Self {
            held,
            source,
            frames: FrameReader::new(limit.bytes),
            postponed: None,
            work,
            coding,
            limit,
            source_ended: false,
            failed: false,
            refused,
        })
    }

    /// Takes the next whole message out of the buffer and works on it; `None` if more bytes are
    /// needed, or a type.
    fn next_message(&mut self) -> Result<Option<Bytes>, Status> {
        if let Some(frame) = self.postponed.take() {
            return self.work_on(frame);
        }
        match self.frames.next_frame() {
            Ok(Some(frame)) => self.work_on(frame),
            Ok(None) => Ok(None),
            Err(error) => Err(match self.is_response() {
                true => frame::bad_frame(error),
                false => frame::unacceptable(error, self.limit),
            }),
        }
    }

    fn arrived(&mut self, data: Bytes) -> Result<(), Excess> {
        let bytes = data.len();
        self.frames.push(data);
        let is_last = self.source.is_end_stream();
        let kept = self.frames.buffered();
        let held = self.held.as_mut();
        held.map_or(Ok(()), |held| held.arrived(bytes, kept, is_last))
    }

    /// Waits until there is an answer about the type that a message lacks.
    fn poll_lookup(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.work {
            MessageTask::Check(_) | MessageTask::Mask(..) => Poll::Ready(()),
            MessageTask::ReadJson(of, _) | MessageTask::WriteJson(of, ..) => {
                of.lookups.poll(context)
            }
        }
    }

    fn work_on(&mut self, whole: rpc::frame::Frame) -> Result<Option<Bytes>, Status> {
        let (flags, frame) = (whole.flags(), whole.clone().into_bytes());
        let sent = frame.slice(HEADER_BYTES..);
        let message = match (flags, self.coding) {
            (0, _) => sent,
            (COMPRESSED, Some(coding)) => self.decompress(coding, &sent)?,
            (COMPRESSED, None) => {
                return Err(self.malformed("is compressed without a named coding"));
            }
            _ => return Err(self.malformed("has unknown flags")),
        };
        let worked = match &mut self.work {
            MessageTask::Check(policy) => {
                policy.admit(&message).map_err(|failure| failure.status)?;
                Ok(frame)
            }
            MessageTask::ReadJson(of, policy) => {
                let mut frame = frame::begin_frame();
                // A message without any bytes is the empty one, also for clients that write JSON.
                let text: &[u8] = if message.is_empty() { b"{}" } else { &message };
                match of.message()?.read_json(text, &mut frame) {
                    Err(error) if of.lookups.begin(&error) => {
                        self.postponed = Some(whole);
                        return Ok(None);
                    }
                    read => read.map_err(|error| Failure::from(error).status)?,
                }
                of.lookups.next_message();
                policy
                    .admit(&frame[HEADER_BYTES..])
                    .map_err(|failure| failure.status)?;
                frame::end_frame(frame, 0)
            }
            MessageTask::Mask(mask, levels) => match mask.masked(&message)? {
                None => Ok(frame),
                Some(masked) => match self.coding.filter(|_| flags == COMPRESSED) {
                    Some(coding) => recompress(coding, *levels, &masked),
                    None => {
                        let mut frame = frame::begin_frame();
                        frame.extend_from_slice(&masked);
                        frame::end_frame(frame, 0)
                    }
                },
            },
            MessageTask::WriteJson(of, levels, mask) => {
                let masked = mask
                    .as_ref()
                    .map(|mask| mask.masked(&message))
                    .transpose()?;
                let message = masked.flatten().unwrap_or(message);
                let mut frame = frame::begin_frame();
                match of.message()?.write_json(&message, &mut frame) {
                    Err(error) if of.lookups.begin(&error) => {
                        self.postponed = Some(whole);
                        return Ok(None);
                    }
                    written => written.map_err(|error| of.violation(&error).status)?,
                }
                of.lookups.next_message();
                match self.coding.filter(|_| flags == COMPRESSED) {
                    None => frame::end_frame(frame, 0),
                    Some(coding) => recompress(coding, *levels, &frame[HEADER_BYTES..]),
                }
            }
        };
        worked.map(Some)
    }

    fn decompress(&self, coding: Coding, sent: &Bytes) -> Result<Bytes, Status> {
        match compression::decompress(coding, sent, self.limit.bytes) {
            Ok(message) => Ok(message.into()),
            Err(Undecodable::Malformed) => {
                Err(self.malformed(&format!("is not valid {}", coding.name())))
            }
            Err(Undecodable::Padded) => Err(self.malformed(&format!(
                "is padded {}: most of it holds no content",
                coding.name()
            ))),
            Err(Undecodable::TooLarge) => Err(match self.is_response() {
                true => frame::large_response("that expands to more", self.limit.bytes),
                false => self.limit.exceeded("a decompressed message"),
            }),
        }
    }

    fn is_response(&self) -> bool {
        matches!(
            self.work,
            MessageTask::WriteJson(..) | MessageTask::Mask(..)
        )
    }

    /// A message that is wrong below its content; of a response that is the upstream's fault.
    fn malformed(&self, what: &str) -> Status {
        match self.is_response() {
            true => frame::bad_upstream(&format!("a message of the upstream {what}")),
            false => {
                let message = format!("a message {what}");
                Fault::new(Code::Internal, "MALFORMED_MESSAGE", message).into()
            }
        }
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.failed = true;
        self.source = Body::empty();
        let _ = self.refused.set(status.clone());
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for InspectedBody {
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
            ready!(this.poll_lookup(context));
            match this.next_message() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(None) if this.postponed.is_some() => continue,
                Ok(None) => {}
                Err(status) => return this.fail(status),
            }
            if this.source_ended {
                if this.frames.is_empty() {
                    return Poll::Ready(None);
                }
                let status = this.malformed("is truncated");
                return this.fail(status);
            }
            let Poll::Ready(received) = Pin::new(&mut this.source).poll_frame(context) else {
                let kept = this.frames.buffered();
                let held = this.held.as_mut().map_or(Ok(()), |held| held.waits(kept));
                return match held {
                    Ok(()) => Poll::Pending,
                    Err(excess) => this.fail(excess.into()),
                };
            };
            match received {
                None => this.source_ended = true,
                Some(Err(status)) => {
                    this.failed = true;
                    frame::record_reason(&this.refused, &status);
                    return Poll::Ready(Some(Err(status)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(excess) = this.arrived(data) {
                            return this.fail(excess.into());
                        }
                    }
                    Err(_) if !this.frames.is_empty() => {
                        let status = this.malformed("is truncated");
                        return this.fail(status);
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_read = self.postponed.is_none() && self.frames.is_empty();
        self.failed || (is_read && self.source.is_end_stream())
    }
}

// === impl ApiType ===

impl ApiType {
    pub(crate) fn new(catalog: &Arc<Catalog>, method: &str, name: &str) -> Self {
        Self {
            catalog: catalog.clone(),
            method: method.to_owned(),
            name: name.to_owned(),
            lookups: catalog.lookups(method),
        }
    }

    fn violation(&self, error: &WireError) -> Failure {
        self.catalog.violation(&self.method, &self.name, error)
    }

    fn message(&self) -> Result<MessageType<'_>, Status> {
        let found = self.catalog.schema.message(&self.name);
        found.ok_or_else(|| {
            chassis::error::internal(anyhow::anyhow!("missing in the schema: {}", self.name)).into()
        })
    }
}

fn recompress(coding: Coding, levels: Levels, message: &[u8]) -> Result<Bytes, Status> {
    let compressed = compression::compress(coding, levels, message)
        .map_err(|error| Status::from(chassis::error::internal(error)))?;
    let mut frame = frame::begin_frame();
    frame.extend_from_slice(&compressed);
    frame::end_frame(frame, COMPRESSED)
}

#[cfg(test)]
mod tests;
