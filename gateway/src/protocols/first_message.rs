//! The first message of a call in the form of gRPC, which a condition of its method lets pass.

use std::sync::Arc;

use bytes::Bytes;
use chassis::error::Fault;
use http::{Extensions, Request};
use rpc::frame::COMPRESSED;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use transcoder::MethodPlan;

use super::inspect;
use crate::api::Catalog;
use crate::call::frame::draining_status;
use crate::call::{self, FirstMessageCheck, first_message};
use crate::context::Context;

/// Returns the check of the first message, if the method has a condition.
pub(super) fn check(
    context: &Context,
    catalog: &Arc<Catalog>,
    method: Option<&MethodPlan>,
    extensions: &Extensions,
) -> Option<FirstMessageCheck> {
    let policy = context.policy();
    policy.first_message(catalog, method?.path(), extensions)
}

/// Waits for the first message of a body of whole frames, and lets it pass. A stream may be idle
/// before it, so that the drain ends the wait.
///
/// # Errors
/// That of the check or of the body, the deadline, or the drain.
pub(super) async fn admit(
    context: &Context,
    request: Request<Body>,
    check: FirstMessageCheck,
    is_stream: bool,
    deadline: Option<Instant>,
) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    let coding = inspect::coding(&head.headers)?;
    let max_bytes = context.request_limit().bytes;
    let held = first_message::hold(body, |frames| {
        let sent = first_message::message(frames);
        let Some(coding) = coding.filter(|_| frames.first() == Some(&COMPRESSED)) else {
            return check(&head.headers, sent);
        };
        // The inspection has done so already, within the same limit.
        let sent = Bytes::copy_from_slice(sent);
        let message = compression::decompress(coding, &sent, max_bytes);
        check(&head.headers, &message.map_err(|_| unreadable())?)
    });
    let held = call::within(deadline, held);
    let body = tokio::select! {
        held = held => held?,
        () = context.draining().cancelled(), if is_stream => return Err(draining_status()),
    };
    Ok(Request::from_parts(head, body))
}

fn unreadable() -> Status {
    Fault::invalid_argument("INVALID_MESSAGE", "a message cannot be decompressed").into()
}
