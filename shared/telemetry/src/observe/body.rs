//! Bodies that update the record of their request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use rpc::error::GRPC_STATUS;
use tonic::body::Body;
use tonic::{Code, Status};

use super::{CURRENT, End, Record, RequestRecord};

/// A request body, whose bytes are counted.
pub(super) struct RequestBody {
    source: Incoming,
    record: Arc<Record>,
}

/// A response body, which closes the record.
pub(super) struct ResponseBody {
    source: Body,
    /// The task-local record that each poll sees; created once.
    observed: RequestRecord,
    record: Arc<Record>,
    status: StatusCode,
    /// The announced length, less the bytes that have passed.
    left: Option<u64>,
    end: Option<End>,
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(source: Incoming, record: Arc<Record>) -> Self {
        Self { source, record }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.source).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.record.received(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(super) fn wrap(response: Response<Body>, record: Arc<Record>) -> Response<Body> {
        let status = response.status();
        note_code(&record, response.headers());
        if record.is_upgraded.get().is_some() {
            return response;
        }
        if response.body().is_end_stream() {
            record.close(status, End::Complete);
            return response;
        }
        response.map(|source| {
            Body::new(Self {
                left: source.size_hint().exact(),
                source,
                observed: RequestRecord(Some(record.clone())),
                record,
                status,
                end: None,
            })
        })
    }

    fn saw(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            let bytes = data.len() as u64;
            self.record.sent(bytes);
            self.left = self.left.map(|left| left.saturating_sub(bytes));
        }
        if let Some(trailers) = frame.trailers_ref() {
            note_code(&self.record, trailers);
            self.end = Some(End::Complete);
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
        let source = Pin::new(&mut this.source);
        let poll = || CURRENT.sync_scope(this.observed.clone(), || source.poll_frame(context));
        let polled = if this.record.span.is_disabled() {
            poll()
        } else {
            this.record.span.in_scope(poll)
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => this.saw(frame),
            Poll::Ready(Some(Err(status))) => {
                this.observed.code(status.code());
                this.end = Some(match status.code() {
                    Code::DeadlineExceeded => End::Deadline,
                    _ => End::UpstreamFailed,
                });
            }
            Poll::Ready(None) => this.end = Some(End::Complete),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper does not poll again after the announced length.
        let is_whole = self.left == Some(0) || self.source.is_end_stream();
        let seen = match self.end {
            Some(end) => end,
            None if is_whole => End::Complete,
            None => End::ClientGone,
        };
        self.record.close(self.status, seen);
    }
}

fn note_code(record: &Record, headers: &HeaderMap) {
    if !record.protocol.is_rpc() {
        return;
    }
    if let Some(code) = headers.get(GRPC_STATUS) {
        let code = Code::from_bytes(code.as_bytes());
        let code = u8::try_from(code as i32).unwrap_or(Code::Unknown as u8);
        record
            .code
            .store(code, std::sync::atomic::Ordering::Relaxed);
    }
}
