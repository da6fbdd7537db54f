//! The request body of a call whose messages are said by the client of a WebSocket, one at a time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use crate::call::Incoming;
use crate::call::frame::Refused;
use crate::call::request_body::torn;

/// Where the messages are put. Each waits until the upstream has taken the one before. Dropped before the end, it tears the body.
pub(super) struct Speaker(mpsc::Sender<Said>);

enum Said {
    Frame(Bytes),
    End,
    Fault(Status),
}

struct Requests {
    said: mpsc::Receiver<Said>,
    is_ended: bool,
    refused: Refused,
}

/// An upstream that has hung up takes no more; how the call ends is its answer's affair.
pub(super) struct HungUp;

pub(super) fn channel() -> (Speaker, Incoming) {
    let (sender, said) = mpsc::channel(1);
    let refused = Refused::default();
    let requests = Requests {
        said,
        is_ended: false,
        refused: refused.clone(),
    };
    let incoming = Incoming {
        body: Body::new(requests),
        refused,
    };
    (Speaker(sender), incoming)
}

// === impl Speaker ===

impl Speaker {
    /// Sends one gRPC frame.
    pub(super) async fn say(&self, frame: Bytes) -> Result<(), HungUp> {
        self.put(Said::Frame(frame)).await
    }

    /// Ends the requests; the call goes on.
    pub(super) async fn end(self) {
        // An upstream that hangs up needs no end.
        let _ = self.put(Said::End).await;
    }

    /// Breaks the requests off for a fault in one of them, which becomes the status of the call.
    pub(super) async fn fail(self, status: Status) {
        let _ = self.put(Said::Fault(status)).await;
    }

    async fn put(&self, said: Said) -> Result<(), HungUp> {
        self.0.send(said).await.map_err(|_| HungUp)
    }
}

impl http_body::Body for Requests {
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
        self.is_ended = !matches!(said, Some(Said::Frame(_)));
        Poll::Ready(match said {
            Some(Said::Frame(frame)) => Some(Ok(Frame::data(frame))),
            Some(Said::End) => None,
            Some(Said::Fault(status)) => {
                let _ = self.refused.set(status.clone());
                Some(Err(status))
            }
            None => Some(Err(torn())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended
    }
}
