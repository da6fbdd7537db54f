//! The frame of one gRPC message: written in place, its length checked as it passes, and the errors that concern it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chassis::error::{self, Fault};
use chassis::observe::End;
use http_body::Frame;
use tonic::{Code, Status};

/// A gRPC frame begins with one byte of flags and four bytes of length (gRPC over HTTP/2, "Length-Prefixed-Message").
pub(crate) const FRAME_HEADER_BYTES: usize = 5;

/// How a call ended (gRPC over HTTP/2, "Status").
pub(crate) const STATUS: &str = "grpc-status";

/// Reason of a stream that ends because the gateway does.
const STOPPING: &str = "STOPPING";

/// Why a body was broken off by the gateway, for whoever has to answer for it.
pub(crate) type Refused = Arc<OnceLock<Status>>;

/// Walks over frames without keeping them.
pub(super) struct Lengths {
    max: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_filled: usize,
    message_left: usize,
    /// Messages that have begun since they were last counted.
    begun: u64,
}

/// Begins a frame: room for the header that [`end_frame`] fills in, so that a message is encoded in its final place.
pub(crate) fn begin_frame() -> Vec<u8> {
    vec![0; FRAME_HEADER_BYTES]
}

/// Fills in the length of a frame from [`begin_frame`]; fails above 4 GiB, which no configuration allows.
pub(crate) fn end_frame(mut frame: Vec<u8>) -> Result<Bytes, Status> {
    end_frame_in(&mut frame, 0)?;
    Ok(Bytes::from(frame))
}

/// [`begin_frame`] behind other frames; returns where it begins.
pub(crate) fn begin_frame_in(frames: &mut Vec<u8>) -> usize {
    let start = frames.len();
    frames.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    start
}

/// [`end_frame`] for the last one of several, which begins at `start`.
pub(crate) fn end_frame_in(frames: &mut [u8], start: usize) -> Result<(), Status> {
    let length = frames.len() - start - FRAME_HEADER_BYTES;
    let length = u32::try_from(length).map_err(|_| {
        Fault::resource_exhausted("MESSAGE_TOO_LARGE", "a message is larger than 4 GiB")
    })?;
    frames[start + 1..start + FRAME_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Tells why a body is broken off, if that is the gateway's own doing: what comes of the client or the network has no reason,
/// and whoever is upstream of the body knows better what it means.
pub(crate) fn tell(refused: &Refused, status: &Status) {
    if chassis::error::reason(status).is_some() {
        let _ = refused.set(status.clone());
    }
}

/// Why a message is not passed on.
pub(crate) fn too_large(length: usize, max_bytes: usize) -> Status {
    let message = format!(
        "a message of {length} bytes is larger than the {max_bytes} bytes that are passed on"
    );
    Fault::resource_exhausted("MESSAGE_TOO_LARGE", message).into()
}

/// The error of an upstream that breaks the protocol.
pub(crate) fn bad_upstream(message: &str) -> Status {
    Fault::new(Code::Internal, "BAD_UPSTREAM_MESSAGE", message).into()
}

/// As gRPC clients say it themselves of a response without `grpc-status`.
pub(crate) fn no_status() -> Status {
    let message = "the upstream ended the response without a status";
    Fault::new(Code::Unknown, "NO_STATUS", message).into()
}

/// How a stream ends when the gateway drains.
pub(crate) fn stopping() -> Status {
    Fault::unavailable(STOPPING, "the gateway stops, connect again").into()
}

/// Why a response that has begun ends with this status.
pub(crate) fn why(status: &Status) -> End {
    match status.code() {
        Code::DeadlineExceeded => End::Deadline,
        Code::Unavailable if error::reason(status).as_deref() == Some(STOPPING) => End::Drain,
        _ => End::UpstreamFailed,
    }
}

// === impl Lengths ===

impl Lengths {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            header: [0; FRAME_HEADER_BYTES],
            header_filled: 0,
            message_left: 0,
            begun: 0,
        }
    }

    pub(super) fn take_begun(&mut self) -> u64 {
        std::mem::take(&mut self.begun)
    }

    pub(super) fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), Status> {
        let mut data: &[u8] = frame.data_ref().map_or(&[], |data| data);
        while !data.is_empty() {
            if self.message_left > 0 {
                let passed = self.message_left.min(data.len());
                self.message_left -= passed;
                data = &data[passed..];
                continue;
            }
            let taken = (FRAME_HEADER_BYTES - self.header_filled).min(data.len());
            self.header[self.header_filled..][..taken].copy_from_slice(&data[..taken]);
            self.header_filled += taken;
            data = &data[taken..];
            if self.header_filled == FRAME_HEADER_BYTES {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    pub(super) fn is_between_messages(&self) -> bool {
        self.message_left == 0 && self.header_filled == 0
    }

    fn begin_message(&mut self) -> Result<(), Status> {
        let [_, length @ ..] = self.header;
        let length = u32::from_be_bytes(length) as usize;
        if length > self.max {
            return Err(too_large(length, self.max));
        }
        self.header_filled = 0;
        self.message_left = length;
        self.begun += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
            bytes.resize(bytes.len() + length, 7);
        }
        bytes
    }

    #[test]
    fn lengths_are_found_however_the_bytes_are_cut() {
        let bytes = frames(&[0, 3, 10, 1]);
        for size in 1..=bytes.len() {
            let mut lengths = Lengths::new(10);
            for piece in bytes.chunks(size) {
                lengths
                    .check(&Frame::data(Bytes::copy_from_slice(piece)))
                    .unwrap();
            }
            assert_eq!(
                (lengths.header_filled, lengths.message_left),
                (0, 0),
                "{size}"
            );
            let mut lengths = Lengths::new(9);
            let outcome: Result<(), Status> = bytes
                .chunks(size)
                .try_for_each(|piece| lengths.check(&Frame::data(Bytes::copy_from_slice(piece))));
            assert_eq!(
                outcome.unwrap_err().code(),
                tonic::Code::ResourceExhausted,
                "{size}"
            );
        }
    }
}
