//! The frame of one gRPC message: written in place, its length checked as it passes, and the errors
//! that concern it.

use std::sync::{Arc, OnceLock};

use auth::Rejection;
use bytes::Bytes;
use chassis::error::{self, Fault};
use chassis::observe::End;
use http::HeaderName;
use rpc::frame::{COMPRESSED, FrameError, HEADER_BYTES};
use tonic::{Code, Status};

/// The coding of compressed messages (gRPC over HTTP/2, "Message-Encoding").
pub(crate) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The key that bounds response messages.
pub(crate) const RESPONSE_LIMIT: &str = "max_message_bytes";

/// Reason of a stream that ends because the gateway does.
const STOPPING: &str = "STOPPING";

/// The reason why the gateway aborted a body, for the code that answers the client.
pub(crate) type AbortReason = Arc<OnceLock<Status>>;

/// A bound of the configuration on the size of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteLimit {
    pub(crate) bytes: usize,
    /// The key that sets it.
    pub(crate) key: &'static str,
}

/// Begins a frame with an empty header, so that the message is encoded in its final place;
/// [`end_frame`] completes it.
pub(crate) fn begin_frame() -> Vec<u8> {
    vec![0; HEADER_BYTES]
}

/// Completes a frame of [`begin_frame`] with these flags.
///
/// # Errors
/// Messages above 4 GiB, which no configuration allows.
pub(crate) fn end_frame(mut frame: Vec<u8>, flags: u8) -> Result<Bytes, Status> {
    rpc::frame::end(&mut frame, 0, flags).map_err(unsendable)?;
    Ok(Bytes::from(frame))
}

/// Completes the frame that starts at `start`, the last one of `frames`.
///
/// # Errors
/// As [`end_frame`].
pub(crate) fn end_frame_in(frames: &mut [u8], start: usize) -> Result<(), Status> {
    rpc::frame::end(frames, start, 0).map_err(unsendable)
}

fn unsendable(error: FrameError) -> Status {
    Fault::resource_exhausted("MESSAGE_TOO_LARGE", error.to_string()).into()
}

/// The error of a message that the gateway does not pass on.
pub(crate) fn unacceptable(error: FrameError, limit: ByteLimit) -> Status {
    match error {
        FrameError::TooLarge { length, .. } => limit.exceeded_by(length),
        other => bad_upstream(&other.to_string()),
    }
}

/// The error of a response frame that the gateway does not pass on, the same in all protocols.
pub(crate) fn bad_frame(error: FrameError) -> Status {
    match error {
        FrameError::Flags(COMPRESSED) => {
            bad_upstream("the upstream sent a compressed message without naming its coding")
        }
        // RESOURCE_EXHAUSTED (429) would blame the caller, who did not choose the size of the
        // response.
        FrameError::TooLarge { length, limit } => large_response(&format!("of {length}"), limit),
        FrameError::Truncated => truncated(),
        FrameError::Flags(_) => bad_upstream(&error.to_string()),
    }
}

/// The error of a response that ends within a message.
pub(crate) fn truncated() -> Status {
    bad_upstream("truncated message from the upstream")
}

/// Records the reason of an abort by the gateway. Errors of the client or the network have no
/// reason, and are not recorded.
pub(crate) fn record_reason(refused: &AbortReason, status: &Status) {
    if chassis::error::reason(status).is_some() {
        let _ = refused.set(status.clone());
    }
}

/// The error of a response message above the limit, `size` as far as it is known.
pub(crate) fn large_response(size: &str, max_bytes: usize) -> Status {
    let message = format!(
        "the upstream sent a message {size} bytes, more than the {max_bytes} bytes that the \
         gateway accepts (`{RESPONSE_LIMIT}`)"
    );
    let fault = Fault::new(Code::Internal, "BAD_UPSTREAM_MESSAGE", message);
    fault.metadata(RESPONSE_LIMIT, max_bytes.to_string()).into()
}

/// The error of an upstream that breaks the protocol.
pub(crate) fn bad_upstream(message: &str) -> Status {
    Fault::new(Code::Internal, "BAD_UPSTREAM_MESSAGE", message).into()
}

/// How a stream ends when the gateway drains.
pub(crate) fn draining_status() -> Status {
    Fault::unavailable(STOPPING, "the gateway is shutting down; reconnect").into()
}

/// Returns the reason for which a response ends with this status.
pub(crate) fn end_reason(status: &Status) -> End {
    match status.code() {
        Code::DeadlineExceeded => End::Deadline,
        Code::Unavailable if error::reason(status).as_deref() == Some(STOPPING) => End::Drain,
        Code::Unauthenticated if is_ended_credential(status) => End::CredentialEnded,
        _ => End::UpstreamFailed,
    }
}

/// Whether a stream was ended here because of its caller's credential.
fn is_ended_credential(status: &Status) -> bool {
    let reason = error::reason(status);
    let ends = [Rejection::Expired, Rejection::Revoked].map(Rejection::reason);
    reason.is_some_and(|reason| ends.contains(&reason.as_str()))
}

// === impl ByteLimit ===

impl ByteLimit {
    /// The error of a request message of this length.
    pub(crate) fn exceeded_by(self, length: usize) -> Status {
        self.exceeded(&format!("a message of {length} bytes"))
    }

    /// The error of a request message that is larger; `what` says how it was found.
    pub(crate) fn exceeded(self, what: &str) -> Status {
        let Self { bytes, key } = self;
        let message = format!("{what} exceeds the limit of {bytes} bytes (`{key}`)");
        let fault = Fault::resource_exhausted("MESSAGE_TOO_LARGE", message);
        fault.metadata(key, bytes.to_string()).into()
    }
}
