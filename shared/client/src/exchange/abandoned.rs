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
    /// `None` once the call has failed.
    open: Option<Open>,
    pub(super) sent_at: Instant,
}

/// Resources of a call. Dropped in this order: the request ends before its stream, and the stream
/// before its place is free.
struct Open {
    _request: Option<oneshot::Sender<Infallible>>,
    response: Response,
    slot: StreamPermit,
    _holding: Option<Holding>,
}

/// The beginning of a response, or the rest.
enum Response {
    Head(ResponseFuture),
    Body(RecvStream),
}

// === impl Running ===

impl Running {
    /// Begins to wait for a response. Dropping `request` ends a request that is still sent.
    pub(super) fn new(
        response: ResponseFuture,
        request: Option<oneshot::Sender<Infallible>>,
        slot: StreamPermit,
        holding: Option<Holding>,
        sent_at: Instant,
    ) -> Self {
        let open = Open {
            _request: request,
            response: Response::Head(response),
            slot,
            _holding: holding,
        };
        Self {
            open: Some(open),
            sent_at,
        }
    }

    /// Waits for the head of the response.
    pub(super) async fn head(&mut self) -> Result<http::Response<()>, AttemptError> {
        let Some(open) = &mut self.open else {
            return Err(AttemptError::unreachable());
        };
        let Response::Head(head) = &mut open.response else {
            return Err(AttemptError::unreachable());
        };
        match head.await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                open.response = Response::Body(body);
                Ok(http::Response::from_parts(head, ()))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Ends the call by its failure, after which nothing is reset; returns the error.
    pub(super) fn failed(&mut self, error: &h2::Error) -> AttemptError {
        match self.open.take() {
            Some(open) => open.slot.error(error),
            None => AttemptError::of(error),
        }
    }

    /// Returns whether the response has arrived to its end.
    pub(super) fn is_complete(&self) -> bool {
        match &self.open {
            None => true,
            Some(open) => match &open.response {
                Response::Head(_) => false,
                Response::Body(body) => body.is_end_stream(),
            },
        }
    }

    /// Returns the rest of the response; `None` without one.
    pub(super) fn body(&mut self) -> Option<&mut RecvStream> {
        match &mut self.open.as_mut()?.response {
            Response::Head(_) => None,
            Response::Body(body) => Some(body),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_complete() {
            return;
        }
        let Some(mut open) = self.open.take() else {
            return;
        };
        if open.slot.resets().allow(self.sent_at) {
            return;
        }
        let until = self.sent_at + YOUNG;
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout_at(until, open.discard()).await;
            });
        }
    }
}

impl Open {
    /// Reads the response to its end, so that it takes no window of the connection.
    async fn discard(&mut self) {
        if let Response::Head(head) = &mut self.response {
            match head.await {
                Ok(answer) => self.response = Response::Body(answer.into_body()),
                Err(_) => return,
            }
        }
        if let Response::Body(body) = &mut self.response {
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
            }
        }
    }
}
