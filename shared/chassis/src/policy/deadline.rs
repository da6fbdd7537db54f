//! Deadlines: `grpc-timeout` in, a task-local instant for everything the handler calls, DEADLINE_EXCEEDED at the end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::error::Fault;

#[cfg(test)]
mod tests;

/// Request header of the time that is left (gRPC over HTTP/2, "Timeout").
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The same section allows at most 8 digits.
const DIGITS_MAX: usize = 8;
const VALUE_MAX: u128 = 99_999_999;

/// Units by length in nanoseconds, the finest first: a remaining time is written as exactly as 8 digits allow.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

tokio::task_local! {
    static DEADLINE: Instant;
}

/// A body that ends when the deadline passes, although its source would go on. It ends with trailers, because an error would
/// reset the stream without a status.
pub(crate) struct Bounded {
    source: Body,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    done: bool,
}

/// Returns the time left for the current call; `None` if nobody set a deadline. Zero once it has passed.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs a future in which [`remaining`] counts down to `deadline`, or to an earlier one that is set already.
///
/// The future is not stopped at the deadline: calls made through [`crate::client::Upstream`] are.
pub async fn scope<F: Future>(deadline: Instant, future: F) -> F::Output {
    let earliest = current().map_or(deadline, |outer| outer.min(deadline));
    DEADLINE.scope(earliest, future).await
}

/// Reads `grpc-timeout` as an instant, counted from now.
///
/// # Errors
/// INVALID_ARGUMENT for a value that is not 1 to 8 digits and a unit out of `HMSmun`.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Instant>, Fault> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let timeout = parse(value.as_bytes()).ok_or_else(|| {
        Fault::invalid_argument(
            "INVALID_TIMEOUT",
            "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
        )
    })?;
    // A deadline beyond what the clock can hold is no deadline.
    Ok(Instant::now().checked_add(timeout))
}

/// Returns the deadline of the current call.
pub(crate) fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Writes the time until `deadline` as a value of `grpc-timeout`.
pub(crate) fn header_value(deadline: Instant) -> HeaderValue {
    let nanos = deadline
        .saturating_duration_since(Instant::now())
        .as_nanos();
    let (unit, value) = UNITS
        .iter()
        .map(|(unit, length)| (*unit, nanos / length))
        .find(|(_, value)| *value <= VALUE_MAX)
        .unwrap_or((b'H', VALUE_MAX));
    let text = format!("{value}{}", char::from(unit));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0n"))
}

/// Calls the handler under the deadline that the caller asked for; without one, just calls it.
pub(crate) async fn enforce<S>(
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let deadline = match from_headers(request.headers()) {
        Ok(Some(deadline)) => deadline,
        Ok(None) => return inner.oneshot(request).await,
        Err(fault) => return Ok(Status::from(fault).into_http()),
    };
    let call = scope(deadline, inner.oneshot(request));
    match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(response)) => Ok(response.map(|body| Bounded::wrap(body, deadline))),
        Err(_) => Ok(Status::from(Fault::deadline_exceeded()).into_http()),
    }
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, length) = UNITS.iter().find(|(name, _)| name == unit)?;
    let amount: u128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let nanos = amount * length;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

// === impl Bounded ===

impl Bounded {
    /// Bounds `source`, unless it is at its end already.
    pub(crate) fn wrap(source: Body, deadline: Instant) -> Body {
        Body::new(Self {
            source,
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            done: false,
        })
    }

    fn expire(&mut self) -> Result<Frame<Bytes>, Status> {
        self.done = true;
        // Whatever feeds the source need not wait for this body to be dropped.
        self.source = Body::empty();
        let mut trailers = HeaderMap::new();
        Status::from(Fault::deadline_exceeded()).add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.done {
            return Poll::Ready(None);
        }
        // Before the source, which may be ready each time it is asked.
        if self.timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(self.expire()));
        }
        let deadline = self.deadline;
        let source = Pin::new(&mut self.source);
        DEADLINE.sync_scope(deadline, || source.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.source.is_end_stream()
    }
}
