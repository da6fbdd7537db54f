//! gRPC frames that pass through untouched: only their lengths are read, against the bound of one message.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use chassis::error::Fault;
use chassis::observe::{self, Observed};
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::arriving::Lifeline;
use crate::call::FRAME_HEADER_BYTES;

/// How a call ended (gRPC over HTTP/2, "Status").
pub(crate) const STATUS: &str = "grpc-status";

/// Why a body was broken off by the gateway, for whoever has to answer for it.
pub(crate) type Refused = Arc<OnceLock<Status>>;

/// A body that fails with a message over the bound.
pub(crate) struct BoundedFrames {
    inner: Body,
    lengths: Lengths,
    refused: Refused,
    observed: Observed,
}

/// A response body on its way to the caller, which always ends in trailers: those of the upstream, or the gateway's own.
pub(crate) struct ResponseFrames {
    /// Before the body, so that it is let go of first: the request has to be torn before the call is cancelled.
    lifeline: Option<Lifeline>,
    inner: Option<Body>,
    lengths: Lengths,
    refused: Refused,
    /// Whether the upstream has said how the call ended.
    has_status: bool,
    cut: Option<Cut>,
    cut_by: Option<Status>,
    own_error: OwnError,
    observed: Observed,
}

/// How an error of the gateway's own is shown.
pub(crate) type OwnError = Box<dyn Fn(Status) -> Status + Send>;

/// Waits for a reason to end a response before the upstream does.
pub(crate) type Cut = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Walks over frames without keeping them.
struct Lengths {
    max: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_filled: usize,
    message_left: usize,
    /// Messages that have begun since they were last counted.
    begun: u64,
}

// === impl BoundedFrames ===

impl BoundedFrames {
    /// Why the gateway breaks it off, if it does, is also told to whoever holds `refused`.
    pub(crate) fn new(inner: Body, max_message_bytes: usize, refused: Refused) -> Self {
        Self {
            inner,
            lengths: Lengths::new(max_message_bytes),
            refused,
            observed: observe::current(),
        }
    }
}

impl http_body::Body for BoundedFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Err(status) = self.lengths.check(frame) {
                    tell(&self.refused, &status);
                    return Poll::Ready(Some(Err(status)));
                }
            }
            Poll::Ready(Some(Err(status))) => tell(&self.refused, status),
            _ => {}
        }
        let begun = self.lengths.take_begun();
        self.observed.request_messages(begun);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

// === impl ResponseFrames ===

impl ResponseFrames {
    /// The response ends with the status of `cut`, but never within a message.
    pub(crate) fn wrap(
        response: Response<Body>,
        max_message_bytes: usize,
        refused: Refused,
        lifeline: Option<Lifeline>,
        cut: Option<Cut>,
        own_error: OwnError,
    ) -> Response<Body> {
        let observed = observe::current();
        let has_status = response.headers().contains_key(STATUS);
        if has_status {
            observed.code(code(response.headers()));
        }
        response.map(|inner| {
            Body::new(Self {
                inner: Some(inner),
                lengths: Lengths::new(max_message_bytes),
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

    fn pass(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(trailers) = frame.trailers_ref() {
            if !trailers.contains_key(STATUS) {
                return self.end(no_status());
            }
            self.has_status = true;
            // Other forms of the call do not say it in trailers.
            self.observed.code(code(trailers));
        }
        let begun = self.lengths.take_begun();
        self.observed.response_messages(begun);
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ends the response with the gateway's own trailers; dropping the upstream's body cancels the call.
    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.lifeline = None;
        self.inner = None;
        let status = (self.own_error)(self.refused.get().cloned().unwrap_or(status));
        self.observed.code(status.code());
        self.observed.end(crate::stream::why(&status));
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
        if this.lengths.is_between_messages()
            && let Some(status) = this.cut_by.take()
        {
            return this.end(status);
        }
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match this.lengths.check(&frame) {
                Ok(()) => this.pass(frame),
                Err(status) => this.end(status),
            },
            Poll::Ready(Some(Err(status))) => this.end(status),
            Poll::Ready(None) if !this.has_status => this.end(no_status()),
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

/// Tells why a body is broken off, if that is the gateway's own doing: what comes of the client or the network has no reason,
/// and whoever is upstream of the body knows better what it means.
pub(crate) fn tell(refused: &Refused, status: &Status) {
    if chassis::error::reason(status).is_some() {
        let _ = refused.set(status.clone());
    }
}

/// Why a message is not passed on.
pub(crate) fn too_large(length: usize, max_bytes: usize) -> Status {
    let message = format!(
        "a message of {length} bytes is larger than the {max_bytes} bytes that are passed on"
    );
    Fault::resource_exhausted("MESSAGE_TOO_LARGE", message).into()
}

fn code(headers: &HeaderMap) -> Code {
    let code = headers
        .get(STATUS)
        .map_or(b"".as_slice(), |code| code.as_bytes());
    Code::from_bytes(code)
}

/// As gRPC clients say it themselves of a response without `grpc-status`.
pub(crate) fn no_status() -> Status {
    let message = "the upstream ended the response without a status";
    Fault::new(Code::Unknown, "NO_STATUS", message).into()
}

// === impl Lengths ===

impl Lengths {
    fn new(max: usize) -> Self {
        Self {
            max,
            header: [0; FRAME_HEADER_BYTES],
            header_filled: 0,
            message_left: 0,
            begun: 0,
        }
    }

    fn take_begun(&mut self) -> u64 {
        std::mem::take(&mut self.begun)
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), Status> {
        let mut data: &[u8] = frame.data_ref().map_or(&[], |data| data);
        while !data.is_empty() {
            if self.message_left > 0 {
                let passed = self.message_left.min(data.len());
                self.message_left -= passed;
                data = &data[passed..];
                continue;
            }
            let taken = (FRAME_HEADER_BYTES - self.header_filled).min(data.len());
            self.header[self.header_filled..][..taken].copy_from_slice(&data[..taken]);
            self.header_filled += taken;
            data = &data[taken..];
            if self.header_filled == FRAME_HEADER_BYTES {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    fn is_between_messages(&self) -> bool {
        self.message_left == 0 && self.header_filled == 0
    }

    fn begin_message(&mut self) -> Result<(), Status> {
        let [_, length @ ..] = self.header;
        let length = u32::from_be_bytes(length) as usize;
        if length > self.max {
            return Err(too_large(length, self.max));
        }
        self.header_filled = 0;
        self.message_left = length;
        self.begun += 1;
        Ok(())
    }
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
                vec![message(), Frame::trailers(trailers(STATUS))],
                Some("0"),
            ),
            (trailers(STATUS), vec![], None),
        ] {
            let body = StreamBody::new(tokio_stream::iter(sent.into_iter().map(Ok::<_, Status>)));
            let mut response = Response::new(Body::new(body));
            *response.headers_mut() = head;
            let wrapped = ResponseFrames::wrap(
                response,
                10,
                Refused::default(),
                None,
                None,
                Box::new(|status| status),
            );
            let ended = wrapped.into_body().collect().await.unwrap();
            let status = ended.trailers().map(|trailers| &trailers[STATUS]);
            assert_eq!(status.map(|status| status.to_str().unwrap()), expected);
        }
    }

    #[test]
    fn lengths_are_found_however_the_bytes_are_cut() {
        let bytes = frames(&[0, 3, 10, 1]);
        for size in 1..=bytes.len() {
            let mut lengths = Lengths::new(10);
            for piece in bytes.chunks(size) {
                lengths
                    .check(&Frame::data(Bytes::copy_from_slice(piece)))
                    .unwrap();
            }
            assert_eq!(
                (lengths.header_filled, lengths.message_left),
                (0, 0),
                "{size}"
            );
            let mut lengths = Lengths::new(9);
            let outcome: Result<(), Status> = bytes
                .chunks(size)
                .try_for_each(|piece| lengths.check(&Frame::data(Bytes::copy_from_slice(piece))));
            assert_eq!(
                outcome.unwrap_err().code(),
                tonic::Code::ResourceExhausted,
                "{size}"
            );
        }
    }
}
