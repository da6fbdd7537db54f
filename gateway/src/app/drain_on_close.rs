//! Drains unread HTTP/1 request bodies within bounds: closing a connection with unread bytes resets
//! it, which can destroy a response in flight (RFC 9112 §9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;

/// Bytes that are read and dropped at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Time for the client to notice the response.
const PATIENCE: Duration = Duration::from_secs(2);

struct DrainOnClose(Body);

/// Drains the body when it is dropped, on connections with one request at a time.
pub(crate) fn drain_on_close(request: Request<Body>) -> Request<Body> {
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(DrainOnClose(body)))
}

async fn drain(mut body: Body) {
    let mut left = MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl Drop for DrainOnClose {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let body = std::mem::replace(&mut self.0, Body::empty());
        // Without a runtime there is no connection left either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PATIENCE, drain(body)));
        }
    }
}

impl http_body::Body for DrainOnClose {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}
