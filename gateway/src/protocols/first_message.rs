//! The first message of a call in the form of gRPC, which has to pass a check.

use std::sync::Arc;

use bytes::Bytes;
use chassis::error::Fault;
use http::Request;
use rpc::body::first;
use rpc::frame::COMPRESSED;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use transcoder::MethodPlan;

use super::inspect;
use crate::api::Catalog;
use crate::call::frame::draining_status;
use crate::call::{self, FirstMessageCheck};
use crate::context::Context;

/// Returns the check of the first message, if there is one.
pub(super) fn check(
    context: &Context,
    catalog: &Arc<Catalog>,
    method: Option<&MethodPlan>,
    request: &Request<Body>,
) -> Option<FirstMessageCheck> {
    let path = request.uri().path();
    let policy = context.policy();
    policy.first_message(catalog, path, method, request.extensions())
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
    let held = async {
        if !check.needs_message() {
            check.admit(&head.headers, None).await?;
            return Ok::<_, Status>(body);
        }
        let (frame, body) = first::hold(body).await?;
        let sent = first::message(&frame);
        let coding = coding.filter(|_| frame.first() == Some(&COMPRESSED));
        let decompressed = match coding {
            None => None,
            // The inspection has done so already, within the same limit.
            Some(coding) => {
                let sent = Bytes::copy_from_slice(sent);
                let message = compression::decompress(coding, &sent, max_bytes);
                Some(message.map_err(|_| unreadable())?)
            }
        };
        let message = decompressed.as_deref().unwrap_or(sent);
        check.admit(&head.headers, Some(message)).await?;
        Ok(body)
    };
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
