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
use crate::frame::FrameMeter;

/// The `ErrorInfo` reason of a request body that stalled.
pub const REQUEST_STALLED: &str = "REQUEST_STALLED";

/// How slow a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Limit of each wait for the next bytes.
    pub timeout: Duration,
    /// Bytes per second of waiting, measured each time that the waits add up to `timeout`; 0 for
    /// any rate. Time in which nobody asks for more is not the sender's.
    pub min_bytes_per_s: u64,
}

/// The waits for the bytes of one message.
#[derive(Debug)]
pub struct Waits {
    pace: Pace,
    /// Created by the first wait: most messages have arrived already.
    waiting: Option<Pin<Box<Sleep>>>,
    /// The waits since the rate was last measured, and the bytes that came meanwhile.
    waited: Duration,
    received: u64,
}

/// Bounds the pace of a body; the error is ABORTED with reason [`REQUEST_STALLED`].
///
/// For a body of one message.
pub fn bound(body: Body, pace: Pace) -> Body {
    wrap(body, pace, None)
}

/// Bounds the pace of each message of a body in gRPC's framing, as [`bound`] does. Between messages
/// it may be idle for as long as its sender likes.
pub fn bound_messages(body: Body, pace: Pace) -> Body {
    wrap(body, pace, Some(FrameMeter::new(usize::MAX)))
}

fn wrap(body: Body, pace: Pace, messages: Option<FrameMeter>) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    Body::new(StallTimeout {
        body,
        waits: Waits::new(pace),
        messages,
    })
}

struct StallTimeout {
    body: Body,
    waits: Waits,
    /// `None` for a body that is one message.
    messages: Option<FrameMeter>,
}

// === impl Waits ===

impl Waits {
    /// Begins a message.
    pub const fn new(pace: Pace) -> Self {
        Self {
            pace,
            waiting: None,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Begins the next message.
    pub fn begin(&mut self) {
        *self = Self::new(self.pace);
    }

    /// Counts what has arrived and the wait before it.
    ///
    /// # Errors
    /// The sender is too slow.
    pub fn arrived(&mut self, bytes: usize) -> Result<(), Status> {
        let Some(waiting) = self.waiting.take() else {
            self.received += bytes as u64;
            return Ok(());
        };
        let began = waiting.deadline() - self.pace.timeout;
        self.waited += began.elapsed();
        self.received += bytes as u64;
        if self.waited < self.pace.timeout {
            return Ok(());
        }
        let millis = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        let due = self.pace.min_bytes_per_s.saturating_mul(millis) / 1000;
        let received = std::mem::take(&mut self.received);
        self.waited = Duration::ZERO;
        match received < due {
            true => Err(slow(received, millis)),
            false => Ok(()),
        }
    }

    /// Waits for more; ready when the wait has been too long.
    pub fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let timeout = self.pace.timeout;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + timeout)));
        waiting.as_mut().poll(context).map(|()| stalled(timeout))
    }
}

// === impl StallTimeout ===

impl StallTimeout {
    /// Follows the messages; returns whether one has begun.
    fn is_within_message(&mut self, data: &[u8]) -> bool {
        self.messages.as_mut().is_none_or(|messages| {
            // Frames of any length and with any flags are valid here.
            let _: Result<_, _> = messages.pass(data);
            !messages.is_between_frames()
        })
    }
}

impl http_body::Body for StallTimeout {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            if !this.is_within_message(&[]) {
                this.waits.begin();
                return Poll::Pending;
            }
            let stalled = this.waits.poll_stalled(context);
            return stalled.map(|status| Some(Err(status)));
        };
        let Some(Ok(received)) = &frame else {
            return Poll::Ready(frame);
        };
        let data = received.data_ref().map_or(&[][..], |data| data);
        let is_slow = this.waits.arrived(data.len());
        let is_over = !this.is_within_message(data) || this.body.is_end_stream();
        Poll::Ready(match is_slow {
            Err(status) if !is_over => Some(Err(status)),
            _ => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn stalled(timeout: Duration) -> Status {
    let message = format!("request stalled: no data for {} ms", timeout.as_millis());
    Fault::aborted(REQUEST_STALLED, message).into()
}

fn slow(received: u64, millis: u64) -> Status {
    let message = format!("request stalled: {received} bytes in {millis} ms");
    Fault::aborted(REQUEST_STALLED, message).into()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_not_stop_nor_trickle() {
        let second = Duration::from_secs(1);
        let drip = |pauses: Vec<Duration>, min_bytes_per_s| {
            let frames = futures::stream::iter(pauses).then(async |pause| {
                tokio::time::sleep(pause).await;
                Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))
            });
            let pace = Pace {
                timeout: second,
                min_bytes_per_s,
            };
            bound(Body::new(StreamBody::new(Box::pin(frames))), pace)
        };
        for rate in [0, 1] {
            let slow = drip(vec![second * 9 / 10; 50], rate);
            assert_eq!(slow.collect().await.unwrap().to_bytes().len(), 50);
        }
        let stopped = drip(vec![Duration::ZERO, second * 2], 0);
        let trickle = drip(vec![second * 9 / 10; 50], 2);
        for body in [stopped, trickle] {
            let status = body.collect().await.unwrap_err();
            assert_eq!(status.code(), Code::Aborted);
            let reason = crate::error::reason(&status);
            assert_eq!(reason.as_deref(), Some(REQUEST_STALLED));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_idle_between_messages_only() {
        let pace = Pace {
            timeout: Duration::from_secs(1),
            min_bytes_per_s: 0,
        };
        let message = b"\0\0\0\0\x01a";
        for (cut, is_good) in [(0, true), (3, false), (5, false), (6, true)] {
            let pieces = [&message[..cut], &message[cut..]].map(Bytes::from_static);
            let late = futures::stream::iter(pieces).then(async |piece| {
                tokio::time::sleep(Duration::from_millis(1100)).await;
                Ok::<_, Status>(Frame::data(piece))
            });
            let body = Body::new(StreamBody::new(Box::pin(late)));
            let collected = bound_messages(body, pace).collect().await;
            assert_eq!(collected.is_ok(), is_good, "{cut}");
        }
    }
}
