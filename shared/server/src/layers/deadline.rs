//! Ends a call at the deadline that its caller asked for.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use rpc::deadline::{from_headers, scope, sync_scope};
use rpc::error::Fault;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

#[cfg(test)]
mod tests;

/// A body that ends when the deadline passes, although its source would go on. It ends with trailers, because an error would
/// reset the stream without a status.
struct DeadlineBody {
    source: Body,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    done: bool,
}

/// Calls the handler under the deadline that the caller asked for; without one, just calls it.
pub(crate) async fn enforce<F>(
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let deadline = match from_headers(request.headers()) {
        Ok(Some(deadline)) => deadline,
        Ok(None) => return handler(request).await,
        Err(fault) => return Ok(Status::from(fault).into_http()),
    };
    let call = scope(deadline, handler(request));
    match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(response)) => Ok(response.map(|body| DeadlineBody::wrap(body, deadline))),
        Err(_) => Ok(Status::from(Fault::deadline_exceeded()).into_http()),
    }
}

// === impl DeadlineBody ===

impl DeadlineBody {
    /// Bounds `source`, unless it is at its end already.
    fn wrap(source: Body, deadline: Instant) -> Body {
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

impl http_body::Body for DeadlineBody {
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
        sync_scope(deadline, || source.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.source.is_end_stream()
    }
}
