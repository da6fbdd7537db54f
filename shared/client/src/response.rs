//! The body of a response on its way to the caller: bounded by the deadline, traced, counted until
//! it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use admission::Hold;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body::Frame;
use rpc::error::{Fault, GRPC_STATUS, no_status};
use telemetry::record_status;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tracing::Span;

use crate::cluster::Cluster;
use crate::exchange::{ResponseStream, UpstreamResponse};

/// A response body. One type for all concerns, so that it is boxed once.
pub(crate) struct ResponseBody {
    /// `None` once it has ended.
    source: Option<ResponseStream>,
    deadline: Option<Instant>,
    /// Created by the first wait: most responses have arrived already.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether it is a gRPC response that still lacks `grpc-status`.
    lacks_status: bool,
    cluster: Arc<Cluster>,
    span: Span,
    _permit: OwnedSemaphorePermit,
    hold: Option<Hold>,
}

impl ResponseBody {
    pub(crate) fn of(
        answer: UpstreamResponse,
        deadline: Option<Instant>,
        cluster: Arc<Cluster>,
        span: Span,
        permit: OwnedSemaphorePermit,
        mut hold: Option<Hold>,
    ) -> Response<Body> {
        let headers = answer.head.headers();
        record_status(&span, headers);
        if let Some(hold) = &mut hold {
            hold.head(headers);
        }
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
        let body = Self {
            source: Some(answer.source),
            deadline,
            timer: None,
            lacks_status: is_grpc && !headers.contains_key(GRPC_STATUS),
            cluster,
            span,
            _permit: permit,
            hold,
        };
        answer.head.map(|()| Body::new(body))
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        timer.as_mut().poll(context)
    }

    fn note(&mut self, trailers: Option<&HeaderMap>) {
        if let Some(trailers) = trailers {
            record_status(&self.span, trailers);
            self.lacks_status &= !trailers.contains_key(GRPC_STATUS);
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(source) = &mut this.source else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *source).poll_frame(context);
        let is_late = match (&polled, this.deadline) {
            (Poll::Pending, _) => this.poll_deadline(context).is_ready(),
            // A source that is always ready must not exceed the deadline either.
            (Poll::Ready(Some(Ok(_))), Some(deadline)) => Instant::now() >= deadline,
            _ => false,
        };
        if is_late {
            this.source = None;
            return Poll::Ready(Some(Err(Fault::deadline_exceeded().into())));
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(hold) = &mut this.hold {
                    hold.frame(frame);
                }
                this.note(frame.trailers_ref());
            }
            Poll::Ready(Some(Err(status))) => {
                if let Some(hold) = &mut this.hold {
                    hold.failed(status);
                }
                // A local abort says nothing about the endpoint.
                if let Some(source) = this.source.take()
                    && source.is_of_endpoint
                {
                    this.cluster
                        .failed(&source.endpoint, source.sent_at().elapsed());
                }
            }
            Poll::Ready(None) => {
                if let Some(hold) = &mut this.hold {
                    hold.end();
                }
                this.source = None;
                if this.lacks_status {
                    this.lacks_status = false;
                    return Poll::Ready(Some(Err(no_status().into())));
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = http_body::Body::is_end_stream;
        !self.lacks_status && self.source.as_ref().is_none_or(ended)
    }
}
