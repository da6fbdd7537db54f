//! Response frames that pass untouched, and always end in trailers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::observe::{self, RequestRecord};
use http::{HeaderMap, Response};
use http_body::Frame;
use rpc::error::{GRPC_STATUS, no_status};
use rpc::frame::{COMPRESSED, FrameMeter};
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{AbortReason, ENCODING, bad_frame, end_reason, truncated};
use super::request_body::Lifeline;

/// A response body on its way to the caller, which always ends in trailers: those of the upstream,
/// or the gateway's own. Its frames have only flags that gRPC knows.
pub(crate) struct ResponseFrames {
    /// Dropped before the body: the request must be aborted before the call is cancelled.
    lifeline: Option<Lifeline>,
    inner: Option<Body>,
    meter: FrameMeter,
    refused: AbortReason,
    /// Whether the upstream has sent a status.
    has_status: bool,
    cut: Option<Cut>,
    cut_by: Option<Status>,
    own_error: OwnError,
    observed: RequestRecord,
}

/// How an error of the gateway's own is shown.
pub(crate) type OwnError = Box<dyn Fn(Status) -> Status + Send>;

/// Waits for a reason to end a response before the upstream does.
pub(crate) type Cut = Pin<Box<dyn Future<Output = Status> + Send>>;

// === impl ResponseFrames ===

impl ResponseFrames {
    /// The response ends with the status of `cut`, but never within a message.
    pub(crate) fn wrap(
        response: Response<Body>,
        max_message_bytes: usize,
        refused: AbortReason,
        lifeline: Option<Lifeline>,
        cut: Option<Cut>,
        own_error: OwnError,
    ) -> Response<Body> {
        let observed = observe::current();
        let has_status = response.headers().contains_key(GRPC_STATUS);
        if has_status {
            observed.code(code(response.headers()));
        }
        let flags = accepted_flags(response.headers());
        response.map(|inner| {
            Body::new(Self {
                inner: Some(inner),
                meter: FrameMeter::new(max_message_bytes).accept_flags(flags),
                refused,
                has_status,
                cut,
                cut_by: None,
                lifeline,
                own_error,
                observed,
            })
        })
    }

    fn pass(
        &mut self,
        frame: Frame<Bytes>,
        begun: u64,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(trailers) = frame.trailers_ref() {
            if !trailers.contains_key(GRPC_STATUS) {
                return self.end(no_status().into());
            }
            if code(trailers) == Code::Ok && !self.meter.is_between_frames() {
                return self.end(truncated());
            }
            self.has_status = true;
            // Other forms of the call do not say it in trailers.
            self.observed.code(code(trailers));
        }
        self.observed.response_messages(begun);
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ends the response with the gateway's own trailers; dropping the upstream's body cancels the
    /// call.
    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.lifeline = None;
        self.inner = None;
        let status = (self.own_error)(self.refused.get().cloned().unwrap_or(status));
        self.observed.code(status.code());
        self.observed.end(end_reason(&status));
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(
            status
                .add_header(&mut trailers)
                .map(|()| Frame::trailers(trailers)),
        ))
    }
}

impl http_body::Body for ResponseFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(cut) = &mut this.cut
            && let Poll::Ready(status) = cut.as_mut().poll(context)
        {
            this.cut = None;
            this.cut_by = Some(status);
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if this.meter.is_between_frames()
            && let Some(status) = this.cut_by.take()
        {
            return this.end(status);
        }
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                match this.meter.pass(data) {
                    Ok(begun) => this.pass(frame, begun),
                    Err(error) => this.end(bad_frame(error)),
                }
            }
            Poll::Ready(Some(Err(status))) => this.end(status),
            Poll::Ready(None) if !this.has_status => this.end(no_status().into()),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = http_body::Body::is_end_stream;
        self.inner
            .as_ref()
            .is_none_or(|inner| self.has_status && ended(inner))
    }
}

/// Other protocols mark the end of their streams by further flags, which only the gateway may set.
/// A compressed message needs a coding (gRPC over HTTP/2, "Message-Encoding").
fn accepted_flags(head: &HeaderMap) -> u8 {
    let coding = head.get(ENCODING);
    match coding.is_some_and(|coding| coding != "identity") {
        true => COMPRESSED,
        false => 0,
    }
}

fn code(headers: &HeaderMap) -> Code {
    let code = headers
        .get(GRPC_STATUS)
        .map_or(b"".as_slice(), |code| code.as_bytes());
    Code::from_bytes(code)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn frames(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
            bytes.resize(bytes.len() + length, 7);
        }
        bytes
    }

    fn trailers(name: &'static str) -> HeaderMap {
        let zero = http::HeaderValue::from_static("0");
        HeaderMap::from_iter([(http::HeaderName::from_static(name), zero)])
    }

    #[tokio::test]
    async fn a_response_never_ends_without_a_status() {
        let message = || Frame::data(Bytes::from(frames(&[3])));
        let none = HeaderMap::new;
        for (head, sent, expected) in [
            (none(), vec![], Some("2")),
            (none(), vec![message()], Some("2")),
            (none(), vec![Frame::trailers(trailers("x"))], Some("2")),
            (
                none(),
                vec![message(), Frame::trailers(trailers("grpc-status"))],
                Some("0"),
            ),
            (trailers("grpc-status"), vec![], None),
        ] {
            let body = StreamBody::new(tokio_stream::iter(sent.into_iter().map(Ok::<_, Status>)));
            let mut response = Response::new(Body::new(body));
            *response.headers_mut() = head;
            let wrapped = ResponseFrames::wrap(
                response,
                10,
                AbortReason::default(),
                None,
                None,
                Box::new(|status| status),
            );
            let ended = wrapped.into_body().collect().await.unwrap();
            let status = ended.trailers().map(|trailers| &trailers[GRPC_STATUS]);
            assert_eq!(status.map(|status| status.to_str().unwrap()), expected);
        }
    }
}
