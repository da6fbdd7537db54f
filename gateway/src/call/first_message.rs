//! The check of a call's first message, before the upstream gets anything of the call.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::HeaderMap;
use rpc::body::first;
use tonic::Status;
use tonic::body::Body;

/// Lets a call pass by its metadata and the bytes of its first message, before the upstream gets
/// anything of the call. A stream that ends without one has an empty message.
#[derive(Clone, Default)]
pub(crate) struct FirstMessageCheck {
    pub(crate) condition: Option<Condition>,
    pub(crate) record: Option<Record>,
    /// The record does not wait for the message: the upstream may be the first to speak.
    pub(crate) records_at_once: bool,
}

/// Decides by the metadata and the first message.
pub(crate) type Condition = Arc<dyn Fn(&HeaderMap, &[u8]) -> Result<(), Status> + Send + Sync>;

/// Records a call by its first message, if that is known.
pub(crate) type Record =
    Arc<dyn Fn(Option<&[u8]>) -> BoxFuture<'static, Result<(), Status>> + Send + Sync>;

/// Lets a call pass whose messages still arrive, and returns them as they were.
///
/// # Errors
/// That of the check, or of the body.
pub(crate) async fn pass(
    body: Body,
    check: &FirstMessageCheck,
    metadata: &HeaderMap,
) -> Result<Body, Status> {
    if !check.needs_message() {
        check.admit(metadata, None).await?;
        return Ok(body);
    }
    let (frame, body) = first::hold(body).await?;
    check.admit(metadata, Some(first::message(&frame))).await?;
    Ok(body)
}

impl FirstMessageCheck {
    /// Returns whether the check waits for the first message.
    pub(crate) fn needs_message(&self) -> bool {
        self.condition.is_some() || !self.records_at_once
    }

    /// Lets the call pass; `message` is `None` before the first one.
    ///
    /// # Errors
    /// The condition does not hold, or the call can't be recorded.
    pub(crate) async fn admit(
        &self,
        metadata: &HeaderMap,
        message: Option<&[u8]>,
    ) -> Result<(), Status> {
        if let (Some(condition), Some(message)) = (&self.condition, message) {
            condition(metadata, message)?;
        }
        match &self.record {
            // The message is not borrowed by the wait.
            Some(record) => record(message).await,
            None => Ok(()),
        }
    }
}
