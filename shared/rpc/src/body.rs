//! Request bodies: those that end before they are complete, and their first message.

pub mod first;
pub mod stalled;

use tonic::Code;

use crate::error::Fault;

/// The `ErrorInfo` reason of a request whose client aborted it.
pub const REQUEST_TORN: &str = "REQUEST_TORN";

/// Returns the error of a request body that its client aborted. It has no source: hyper would pass
/// the reset code of one on.
///
/// ABORTED for a handler. CANCELLED for the caller of a proxy, and never for a handler: tonic shows
/// a body that fails with CANCELLED as the regular end of the messages, so half of a client stream
/// would look complete.
pub fn truncated(code: Code) -> Fault {
    Fault::new(code, REQUEST_TORN, "request aborted by client")
}
