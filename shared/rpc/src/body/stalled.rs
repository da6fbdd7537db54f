//! Bounds the wait for the next bytes of a request body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use crate::error::Fault;

/// The `ErrorInfo` reason of a request body that stalled.
pub const REQUEST_STALLED: &str = "REQUEST_STALLED";

/// Bounds each wait for the next bytes of a body by `timeout`; the error is ABORTED with reason [`REQUEST_STALLED`].
///
/// For a body of one message. A stream of messages may be idle for as long as its sender likes.
pub fn bound(body: Body, timeout: Duration) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    Body::new(StallTimeout {
        body,
        timeout,
        waiting: None,
    })
}

struct StallTimeout {
    body: Body,
    timeout: Duration,
    /// Created by the first wait: most bodies have arrived already.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for StallTimeout {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame);
        }
        let timeout = this.timeout;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + timeout)));
        waiting
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(stalled(timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn stalled(timeout: Duration) -> Status {
    let message = format!(
        "no byte of the request arrived for {} ms",
        timeout.as_millis()
    );
    Fault::aborted(REQUEST_STALLED, message).into()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_not_stop() {
        let second = Duration::from_secs(1);
        let drip = |pauses: Vec<Duration>| {
            let frames = futures::stream::iter(pauses).then(async |pause| {
                tokio::time::sleep(pause).await;
                Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
            });
            bound(Body::new(StreamBody::new(Box::pin(frames))), second)
        };
        let slow = drip(vec![second * 9 / 10; 50]).collect().await.unwrap();
        assert_eq!(slow.to_bytes().len(), 50);
        let stopped = drip(vec![Duration::ZERO, second * 2]).collect().await;
        let status = stopped.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(
            crate::error::reason(&status).as_deref(),
            Some(REQUEST_STALLED)
        );
    }
}
