//! Bodies that are compressed or decompressed while they pass.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use rpc::error::Fault;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;

use crate::codec::{Decoder, Encoder, Undecodable};
use crate::coding::{Coding, Levels};

/// Expansion up to this size is allowed whatever the ratio.
const FREE_BYTES: u64 = 1024 * 1024;

/// Bytes of a large chunk that are compressed before other tasks run.
const YIELD_AFTER_BYTES: usize = 64 * 1024;

/// Steps of a decoder without output before other tasks run.
const YIELD_AFTER_EMPTY_STEPS: usize = 64;

/// A body in a coding, each of its frames flushed: who reads a stream sees every message at once.
pub struct CompressedBody {
    body: Body,
    encoder: Encoder,
    /// The data to compress next.
    chunk: Bytes,
    /// `None` while data is still read.
    end: Option<BodyEnd>,
    _permit: OwnedSemaphorePermit,
}

enum BodyEnd {
    Trailers(http::HeaderMap),
    Done,
}

/// A body that came in a coding. Holds one decoded piece at a time, decoded when the reader asks.
pub struct DecompressedBody {
    body: Body,
    decoder: Decoder,
    coding: Coding,
    chunk: Bytes,
    is_ended: bool,
    received: u64,
    decoded: u64,
    max_ratio: u64,
}

// === impl CompressedBody ===

impl CompressedBody {
    /// Encodes `body`; `permit` is held until the body is dropped.
    pub fn new(body: Body, coding: Coding, levels: Levels, permit: OwnedSemaphorePermit) -> Self {
        Self {
            body,
            encoder: Encoder::new(coding, levels),
            chunk: Bytes::new(),
            end: None,
            _permit: permit,
        }
    }

    /// Compresses the next part of the chunk; the last one is flushed.
    fn encode(&mut self) -> std::io::Result<Vec<u8>> {
        let part = self.chunk.split_to(self.chunk.len().min(YIELD_AFTER_BYTES));
        let mut out = Vec::new();
        self.encoder.put(&part, &mut out)?;
        if self.chunk.is_empty() {
            self.encoder.flush(&mut out)?;
        }
        Ok(out)
    }

    /// Reads the next data into the chunk, or the end of the body, which is returned.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<BodyEnd>, Status>> {
        let end = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => BodyEnd::Done,
            Some(frame) => match frame?.into_data() {
                Ok(data) => {
                    self.chunk = data;
                    return Poll::Ready(Ok(None));
                }
                Err(frame) => BodyEnd::Trailers(frame.into_trailers().unwrap_or_default()),
            },
        };
        Poll::Ready(Ok(Some(end)))
    }

    /// Returns the trailers, once.
    fn emit_end(&mut self) -> Option<Frame<Bytes>> {
        match self.end.replace(BodyEnd::Done) {
            Some(BodyEnd::Trailers(trailers)) => Some(Frame::trailers(trailers)),
            Some(BodyEnd::Done) | None => None,
        }
    }

    fn finish(&mut self, end: BodyEnd) -> std::io::Result<Vec<u8>> {
        self.end = Some(end);
        let mut out = Vec::new();
        self.encoder.finish(&mut out)?;
        Ok(out)
    }
}

impl http_body::Body for CompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if this.end.is_some() {
                return Poll::Ready(this.emit_end().map(Ok));
            }
            let encoded = if this.chunk.is_empty() {
                match ready!(this.poll_input(context)) {
                    Ok(Some(end)) => this.finish(end),
                    Ok(None) => continue,
                    Err(status) => return Poll::Ready(Some(Err(status))),
                }
            } else {
                this.encode()
            };
            match encoded {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(error) => {
                    return Poll::Ready(Some(Err(rpc::error::internal(error).into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.end, Some(BodyEnd::Done))
    }
}

// === impl DecompressedBody ===

impl DecompressedBody {
    /// Decodes `body`, which may expand to `max_ratio` times its size, and to 1 MiB in any case.
    ///
    /// The body ends with a status INVALID_ARGUMENT where it is malformed, expands too far, or is
    /// mostly padding.
    pub fn new(body: Body, coding: Coding, max_ratio: u64) -> Self {
        Self {
            body,
            decoder: Decoder::new(coding),
            coding,
            chunk: Bytes::new(),
            is_ended: false,
            received: 0,
            decoded: 0,
            max_ratio,
        }
    }

    fn decode(&mut self) -> Result<Vec<u8>, Status> {
        let mut out = Vec::new();
        let taken = self.decoder.take(&mut self.chunk, &mut out);
        taken.map_err(|problem| self.fail(&problem))?;
        self.decoded += out.len() as u64;
        if self.decoded > FREE_BYTES.max(self.received.saturating_mul(self.max_ratio)) {
            return Err(self.fail(&Undecodable::TooLarge));
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<u8>, Status> {
        self.is_ended = true;
        let mut out = Vec::new();
        let finished = self.decoder.finish(&mut out);
        finished.map_err(|problem| self.fail(&problem))?;
        Ok(out)
    }

    /// Ends the body; returns the error that its reader gets.
    fn fail(&mut self, problem: &Undecodable) -> Status {
        self.is_ended = true;
        let coding = self.coding.name();
        let description = match problem {
            Undecodable::Malformed => format!("malformed {coding} body"),
            Undecodable::Padded => format!("the {coding} body consists mostly of empty blocks"),
            Undecodable::TooLarge => format!(
                "the body expands to more than {} times its size",
                self.max_ratio
            ),
        };
        Fault::invalid_argument("BAD_CONTENT_CODING", &*description)
            .violation("content-encoding", description.clone())
            .into()
    }
}

impl http_body::Body for DecompressedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let mut empty_steps = 0;
        while !this.is_ended {
            if empty_steps == YIELD_AFTER_EMPTY_STEPS {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let decoded = if this.chunk.is_empty() && !this.decoder.has_more() {
                match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                    Some(Ok(frame)) => {
                        this.chunk = frame.into_data().unwrap_or_default();
                        this.received += this.chunk.len() as u64;
                        continue;
                    }
                    None => this.finish(),
                }
            } else {
                this.decode()
            };
            match decoded {
                Ok(out) if out.is_empty() => empty_steps += 1,
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
