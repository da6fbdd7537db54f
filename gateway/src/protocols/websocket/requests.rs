//! The request body of a call over a WebSocket: one message at a time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use crate::call::RequestMessages;
use crate::call::frame::AbortReason;
use crate::call::request_body::aborted_by_client;

/// Where the messages are put. Each waits until the upstream has taken the one before. Dropped
/// before the end, it tears the body.
pub(super) struct MessageSender(mpsc::Sender<RequestEvent>);

enum RequestEvent {
    Frame(Bytes),
    End,
    Fault(Status),
}

struct SocketRequests {
    said: mpsc::Receiver<RequestEvent>,
    is_ended: bool,
    refused: AbortReason,
}

/// An upstream that has hung up takes no more; how the call ends is its answer's affair.
pub(super) struct HungUp;

pub(super) fn channel() -> (MessageSender, RequestMessages) {
    let (sender, said) = mpsc::channel(1);
    let refused = AbortReason::default();
    let requests = SocketRequests {
        said,
        is_ended: false,
        refused: refused.clone(),
    };
    let incoming = RequestMessages {
        body: Body::new(requests),
        refused,
    };
    (MessageSender(sender), incoming)
}

// === impl MessageSender ===

impl MessageSender {
    /// Sends one gRPC frame.
    pub(super) async fn say(&self, frame: Bytes) -> Result<(), HungUp> {
        self.put(RequestEvent::Frame(frame)).await
    }

    /// Ends the requests; the call goes on.
    pub(super) async fn end(self) {
        // An upstream that hangs up needs no end.
        let _ = self.put(RequestEvent::End).await;
    }

    /// Breaks the requests off for a fault in one of them, which becomes the status of the call.
    pub(super) async fn fail(self, status: Status) {
        let _ = self.put(RequestEvent::Fault(status)).await;
    }

    async fn put(&self, said: RequestEvent) -> Result<(), HungUp> {
        self.0.send(said).await.map_err(|_| HungUp)
    }
}

impl http_body::Body for SocketRequests {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let said = ready!(self.said.poll_recv(context));
        self.is_ended = !matches!(said, Some(RequestEvent::Frame(_)));
        Poll::Ready(match said {
            Some(RequestEvent::Frame(frame)) => Some(Ok(Frame::data(frame))),
            Some(RequestEvent::End) => None,
            Some(RequestEvent::Fault(status)) => {
                let _ = self.refused.set(status.clone());
                Some(Err(status))
            }
            None => Some(Err(aborted_by_client())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
