//! Calls whose caller may leave before the response is complete.

use std::convert::Infallible;

use admission::Holding;
use h2::RecvStream;
use h2::client::ResponseFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::attempt::AttemptError;
use crate::endpoint::StreamPermit;
use crate::endpoint::resets::YOUNG;

/// A call on its stream.
///
/// Dropped before its end, it is reset with CANCEL: at once, or if its connection has sent too many
/// resets ([`crate::endpoint::resets`]) when it is no longer young. Until then it holds its stream
/// and the memory of its request, so that a client that opens and leaves calls pays for them.
pub(super) struct Running {
    /// The beginning of the response, or the rest; `None` once it is complete.
    response: Option<Response>,
    /// Dropped first: the request is ended before its stream is.
    pub(super) request: Option<oneshot::Sender<Infallible>>,
    pub(super) sent_at: Instant,
    /// `None` once it is dropped.
    slot: Option<StreamPermit>,
    holding: Option<Holding>,
}

enum Response {
    Head(ResponseFuture),
    Body(RecvStream),
}

// === impl Running ===

impl Running {
    pub(super) fn new(
        response: ResponseFuture,
        slot: StreamPermit,
        holding: Option<Holding>,
    ) -> Self {
        Self {
            response: Some(Response::Head(response)),
            request: None,
            sent_at: Instant::now(),
            slot: Some(slot),
            holding,
        }
    }

    /// Returns the error of this call.
    pub(super) fn error(&self, error: &h2::Error) -> AttemptError {
        match &self.slot {
            Some(slot) => slot.error(error),
            None => AttemptError::of(error),
        }
    }

    /// Returns whether the response has arrived to its end.
    pub(super) fn is_complete(&self) -> bool {
        match &self.response {
            None => true,
            Some(Response::Head(_)) => false,
            Some(Response::Body(body)) => body.is_end_stream(),
        }
    }

    /// Returns the rest of the response; `None` without one.
    pub(super) fn body(&mut self) -> Option<&mut RecvStream> {
        match &mut self.response {
            Some(Response::Body(body)) => Some(body),
            _ => None,
        }
    }

    /// Waits for the head of the response.
    pub(super) async fn head(&mut self) -> Result<http::Response<()>, AttemptError> {
        let answer = match &mut self.response {
            Some(Response::Head(response)) => response.await,
            _ => return Err(AttemptError::unreachable()),
        };
        // What has failed is not reset.
        self.response = None;
        let (head, body) = answer.map_err(|error| self.error(&error))?.into_parts();
        self.response = Some(Response::Body(body));
        Ok(http::Response::from_parts(head, ()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_complete() {
            return;
        }
        let (Some(response), Some(slot)) = (self.response.take(), self.slot.take()) else {
            return;
        };
        if slot.resets().allow(self.sent_at) {
            // The request first.
            self.request = None;
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (request, holding) = (self.request.take(), self.holding.take());
        let until = self.sent_at + YOUNG;
        runtime.spawn(async move {
            let mut response = response;
            let _ = timeout_at(until, discard(&mut response)).await;
            drop(request);
            drop((response, slot, holding));
        });
    }
}

/// Reads a response to its end, so that it takes no window of the connection.
async fn discard(response: &mut Response) {
    if let Response::Head(head) = response {
        match head.await {
            Ok(answer) => *response = Response::Body(answer.into_body()),
            Err(_) => return,
        }
    }
    if let Response::Body(body) = response {
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
    }
}
