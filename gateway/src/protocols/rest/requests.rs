//! Request streams: the messages of one HTTP body become those of one call, as they arrive and as
//! the upstream takes them.

mod encoder;
mod patient;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use chassis::stalled::Waits;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;
use transcoder::stream::{Format, Splitter};
use transcoder::{Content, RequestError, Rule};

use super::exchange::{self, Exchange};
use crate::call::frame::AbortReason;
use crate::call::request_body::body_error;
use crate::call::{HeldBody, RequestMessages};
use crate::failure::{BODY_LIMIT, Failure};

pub(crate) use encoder::MessageEncoder;
use patient::PatientEncoder;

/// Small messages share a frame up to this size, so that a chunk of many is not as many writes; no
/// message waits for another.
const BATCH_BYTES: usize = 16 * 1024;

const STREAM_TYPES: &str = "`application/json` (an array, or values one after the other), `application/x-ndjson`, \
    `application/json-seq` or `application/x-protobuf` (length-delimited)";

/// The messages of one body. At most one chunk of it is held, the beginning of one message, and one
/// frame.
pub(crate) struct RequestStream {
    body: Body,
    chunk: Bytes,
    splitter: Splitter,
    encoder: PatientEncoder,
    /// The error that ends the stream after the messages before it.
    failed: Option<Status>,
    held: HeldBody,
    waits: Waits,
    is_ended: bool,
    /// Tells the one who answers the client.
    refused: AbortReason,
}

// === impl RequestStream ===

impl RequestStream {
    /// The faults of path and query are found before the upstream is called, those of messages as
    /// they come.
    pub(crate) fn of(exchange: &Exchange<'_>, body: Body) -> Result<RequestMessages, Failure> {
        let head = exchange.head;
        let format = format(exchange, &body)?;
        exchange.matched.bindings(head.uri.query())?;
        let refused = AbortReason::default();
        let content = match format {
            Format::Delimited => Content::Protobuf,
            _ => Content::Json,
        };
        let requests = Self {
            body,
            chunk: Bytes::new(),
            splitter: Splitter::new(format, exchange.context.max_body_bytes()),
            encoder: PatientEncoder::new(MessageEncoder::of(exchange), content),
            failed: None,
            held: HeldBody::stream(&exchange.holding(), exchange.context.request_window()),
            waits: Waits::new(exchange.context.body_pace()),
            is_ended: false,
            refused: refused.clone(),
        };
        Ok(RequestMessages {
            body: Body::new(requests),
            refused,
        })
    }

    /// Appends frames of the messages that end in the chunk, up to the size of a batch; none where
    /// the next chunk is needed.
    fn encode(&mut self, frames: &mut Vec<u8>) {
        let mut rest: &[u8] = &self.chunk;
        while frames.len() < BATCH_BYTES && !self.encoder.is_waiting() {
            let encoded = match self.splitter.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(message)) => self.encoder.put(&message, frames),
                Err(error) => Err(of_split(error)),
            };
            if let Err(failure) = encoded {
                self.failed = Some(failure.status);
                break;
            }
        }
        let taken = self.chunk.len() - rest.len();
        self.chunk.advance(taken);
    }

    fn receive(&mut self, frame: Frame<Bytes>) {
        self.chunk = frame.into_data().unwrap_or_default();
        let (bytes, kept) = (self.chunk.len(), self.splitter.buffered());
        let is_last = self.body.is_end_stream();
        let is_slow = self.waits.arrived(bytes).err();
        let excess = self.held.arrived(bytes, kept + bytes, is_last).err();
        self.failed = is_slow.or(excess.map(Status::from));
    }

    /// Waits for the rest of a message; ready with the reason not to.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let kept = self.splitter.buffered();
        if let Err(excess) = self.held.waits(kept) {
            return Poll::Ready(excess.into());
        }
        match kept {
            0 => {
                self.waits.begin();
                Poll::Pending
            }
            _ => self.waits.poll_stalled(context),
        }
    }

    /// Appends the frame of a message that only the end of the body ends.
    fn finish(&mut self, frames: &mut Vec<u8>) {
        self.is_ended = true;
        let encoded = match self.splitter.finish() {
            Ok(None) => Ok(()),
            Ok(Some(message)) => self.encoder.put(&message, frames),
            Err(error) => Err(of_split(error)),
        };
        self.failed = encoded.map_err(|failure| failure.status).err();
    }

    /// Appends the next frames; none where there is more to wait for, or at the end.
    fn poll_frames(&mut self, context: &mut Context<'_>, frames: &mut Vec<u8>) -> Poll<()> {
        let postponed = ready!(self.encoder.poll_postponed(context, frames));
        self.failed = postponed.map_err(|failure| failure.status).err();
        if self.is_ended || self.failed.is_some() {
            return Poll::Ready(());
        }
        self.encode(frames);
        if !frames.is_empty() || self.failed.is_some() || self.encoder.is_waiting() {
            return Poll::Ready(());
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => self.receive(frame),
            Poll::Ready(Some(Err(status))) => self.failed = Some(body_error(status)),
            Poll::Ready(None) => self.finish(frames),
            Poll::Pending => self.failed = Some(ready!(self.poll_overdue(context))),
        }
        Poll::Ready(())
    }
}

impl http_body::Body for RequestStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(status) = this.failed.take() {
                this.is_ended = true;
                let _ = this.refused.set(status.clone());
                return Poll::Ready(Some(Err(status)));
            }
            if this.is_ended && !this.encoder.is_waiting() {
                return Poll::Ready(None);
            }
            let mut frames = Vec::new();
            ready!(this.poll_frames(context, &mut frames));
            if !frames.is_empty() {
                this.waits.begin();
                return Poll::Ready(Some(Ok(Frame::data(frames.into()))));
            }
        }
    }
}

/// The failure of a body that can't be split, with the key that bounds its messages.
fn of_split(mut error: RequestError) -> Failure {
    if error.rule == Rule::TooLong {
        error.description = format!("{} (`{BODY_LIMIT}`)", error.description);
    }
    error.into()
}

/// Returns the format of a request stream: JSON without a content type. Without a body the type is
/// ignored.
fn format(exchange: &Exchange<'_>, body: &Body) -> Result<Format, Failure> {
    let content_type = exchange::content_type(&exchange.head.headers)?.unwrap_or_default();
    match Format::of_content_type(content_type) {
        Some(format) => Ok(format),
        None if content_type.is_empty() || body.is_end_stream() => Ok(Format::Json),
        None if exchange.context.dialect().takes_any_type() => Ok(Format::Json),
        None => {
            let found = content_type.split(';').next().unwrap_or_default().trim();
            Err(Failure::unsupported_media_type(found, STREAM_TYPES))
        }
    }
}
