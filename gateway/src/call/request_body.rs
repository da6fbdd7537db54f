//! A call whose request body still arrives from the client: a client that goes away breaks the
//! body, it never ends it.
//!
//! Dropping such a call would reset the upstream's stream with CANCEL, and servers exist (tonic is
//! one) that show CANCEL to their handler as the regular end of the messages: half an upload would
//! look whole. So the call runs in a separate task, which outlives the client until the body has
//! failed: that resets the stream with an unmistakable error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chassis::client::{Grace, Upstream};
use chassis::error::Fault;
use http::{Request, Response};
use http_body::Frame;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Instrument;

use super::within;

/// Ties a call to its client. Held until the response is complete.
pub(crate) struct Lifeline {
    gone: CancellationToken,
    whole: Arc<AtomicBool>,
    call: AbortHandle,
}

/// How long a call outlives its client or its deadline. The upstream takes notice at once, unless
/// it does not read at all.
const GRACE: Duration = Duration::from_secs(1);

/// Sends a request whose body still arrives and returns as soon as the upstream answers with
/// headers.
pub(crate) async fn send(
    upstream: Upstream,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<(Response<Body>, Lifeline), Status> {
    let gone = CancellationToken::new();
    let whole = Arc::new(AtomicBool::new(false));
    let request = request.map(|inner| {
        Body::new(RequestBody {
            inner,
            gone: Box::pin(gone.clone().cancelled_owned()),
            whole: whole.clone(),
        })
    });
    // The client in `call` enforces a deadline by dropping the call; it is left to it only where
    // breaking the body did not help.
    let mut request = request;
    request.extensions_mut().insert(Grace(GRACE));
    let call = super::send(upstream, request, deadline);
    let call = tokio::spawn(outlive(call, gone.clone()).in_current_span());
    let lifeline = Lifeline {
        gone,
        whole,
        call: call.abort_handle(),
    };
    let answered = async {
        call.await
            .map_err(|error| Status::from(chassis::error::internal(error)))?
    };
    Ok((within(deadline, answered).await?, lifeline))
}

async fn outlive<T>(
    call: impl Future<Output = Result<T, Status>>,
    gone: CancellationToken,
) -> Result<T, Status> {
    let given_up = async {
        gone.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        outcome = call => outcome,
        () = given_up => Err(aborted_by_client()),
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.gone.cancel();
        if self.whole.load(Ordering::Acquire) {
            self.call.abort();
        }
    }
}

struct RequestBody {
    inner: Body,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
    whole: Arc<AtomicBool>,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(aborted_by_client())));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match polled {
            // The client's own error may hold its CANCEL, which would be passed on.
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(aborted_by_client()))),
            Poll::Ready(None) => self.whole.store(true, Ordering::Release),
            _ => {}
        }
        polled
    }
}

/// Returns the error of a body that ended early. Errors with a reason come from the gateway; all
/// others are an abort by the client.
pub(crate) fn body_error(status: Status) -> Status {
    if chassis::error::reason(&status).is_some() {
        status
    } else {
        aborted_by_client()
    }
}

/// Without a source: hyper would pass the reset code of one on.
pub(crate) fn aborted_by_client() -> Status {
    Fault::new(Code::Cancelled, "REQUEST_TORN", "request aborted by client").into()
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn an_error_of_the_client_is_not_passed_on() {
        let cancelled = Err::<Frame<Bytes>, _>(Status::cancelled("of the client"));
        let whole = Arc::new(AtomicBool::new(false));
        let mut body = RequestBody {
            inner: Body::new(StreamBody::new(tokio_stream::once(cancelled))),
            gone: Box::pin(CancellationToken::new().cancelled_owned()),
            whole: whole.clone(),
        };
        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(
            chassis::error::reason(&status).as_deref(),
            Some("REQUEST_TORN")
        );
        assert!(!whole.load(Ordering::Acquire));
    }
}
