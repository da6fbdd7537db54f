//! One gRPC call to an upstream, in messages that stay raw bytes.

mod bounded_frames;
mod error_metadata;
mod facts;
mod first_message;
pub(crate) mod frame;
mod grpc;
mod held;
pub(crate) mod lease;
mod mask;
mod one_frame;
mod reader;
pub(crate) mod request_body;
mod response_frames;

use std::future::poll_fn;
use std::task::Poll;

use admission::Holding;
use bytes::{Bytes, BytesMut};
use chassis::client::{Caller, Safety, Upstream};
use chassis::error::Fault;
use futures::FutureExt;
use futures::future::Either;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use rpc::body::first;
use rpc::error::GRPC_STATUS;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::failure::Failure;
use error_metadata::with_metadata;
use frame::{AbortReason, bad_upstream};
use grpc::not_grpc;
use lease::Lease;
use reader::MessageReader;
use request_body::Lifeline;

pub(crate) use bounded_frames::BoundedFrames;
pub(crate) use error_metadata::ErrorMetadata;
pub(crate) use facts::{caller, safety};
pub(crate) use first_message::{Condition, FirstMessageCheck, Record};
pub(crate) use grpc::is_grpc;
pub(crate) use held::{HeldBody, holding};
pub(crate) use mask::ResponseMask;
pub(crate) use one_frame::one_frame;
pub(crate) use response_frames::{Cut, OwnError, ResponseFrames};

/// Where a call goes and what goes with it besides its messages.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) upstream: Upstream,
    /// `/package.Service/Method`.
    pub(crate) path: String,
    pub(crate) safety: Safety,
    pub(crate) caller: Caller,
    pub(crate) metadata: HeaderMap,
    pub(crate) deadline: Option<Instant>,
    /// The right of a stream to go on.
    pub(crate) lease: Option<Lease>,
    /// Largest response message, in bytes.
    pub(crate) max_message_bytes: usize,
    pub(crate) mask: Option<ResponseMask>,
    /// The check that the first message has to pass before anything is sent.
    pub(crate) check: Option<FirstMessageCheck>,
}

/// The one response message of a call, with metadata and trailers.
#[derive(Debug, Default)]
pub(crate) struct UnaryReply {
    pub(crate) message: Bytes,
    /// Metadata from before the message, as the upstream has sent it: HTTP's own headers and gRPC's
    /// are among it.
    pub(crate) metadata: HeaderMap,
    /// Trailers, as above.
    pub(crate) trailers: HeaderMap,
    /// The gateway's own headers about the answer, for callers of every protocol.
    pub(crate) own: HeaderMap,
}

/// The messages that an upstream sends, each read when it is asked for. Dropping them cancels the
/// call.
pub(crate) struct Messages {
    /// Dropped before the messages: the request must be aborted before the call is cancelled.
    _lifeline: Option<Lifeline>,
    reader: MessageReader,
    metadata: HeaderMap,
    /// The reason why the gateway aborted the request; an error of the upstream is then only a
    /// consequence.
    refused: AbortReason,
    /// Where the client of the call does not keep it.
    deadline: Option<Instant>,
    mask: Option<ResponseMask>,
    /// A message lacks what its caller may not see.
    is_masked: bool,
    /// The end of the caller's credential.
    ended: Option<Cut>,
}

/// Request messages that still arrive, and the reason if they are aborted.
pub(crate) struct RequestMessages {
    pub(crate) body: Body,
    pub(crate) refused: AbortReason,
}

impl Call {
    /// Lets the first message pass, once; `frame` has it.
    ///
    /// # Errors
    /// That of the check.
    pub(crate) async fn admit(&mut self, frame: &[u8]) -> Result<(), Status> {
        match self.check.take() {
            Some(check) => {
                let message = first::message(frame);
                check.admit(&self.metadata, Some(message)).await
            }
            None => Ok(()),
        }
    }

    /// Sends a request of one frame and returns the one message of the response.
    pub(crate) async fn unary(self, frame: Bytes) -> Result<UnaryReply, Status> {
        only_message(self.open(frame).await?).await
    }

    /// Sends a request of one frame and returns as soon as the upstream answers with headers.
    pub(crate) async fn open(mut self, frame: Bytes) -> Result<Messages, Status> {
        if self.check.is_some() {
            let deadline = self.deadline;
            within(deadline, self.admit(&frame).boxed()).await?;
        }
        let mut request = request(self.path, self.metadata, one_frame(frame));
        request.extensions_mut().insert(self.safety);
        request.extensions_mut().insert(self.caller);
        let mut ended = self.lease.map(lease::ended);
        let sent = send(self.upstream, request, self.deadline);
        let response = lease::unless(&mut ended, sent).await?;
        Ok(Messages {
            ended,
            ..messages(response, self.max_message_bytes, self.mask)?
        })
    }

    /// Sends a request whose messages still arrive from the client and returns the one message of
    /// the response.
    pub(crate) async fn upload(self, incoming: RequestMessages) -> Result<UnaryReply, Status> {
        let deadline = self.deadline;
        let exchange = async { only_message(self.converse(incoming).await?).await };
        within(deadline, exchange).await
    }

    /// Sends a request whose messages still arrive from the client and returns as soon as the
    /// upstream answers with headers.
    pub(crate) async fn converse(mut self, incoming: RequestMessages) -> Result<Messages, Status> {
        let RequestMessages { mut body, refused } = incoming;
        if let Some(check) = self.check.take() {
            let held = first_message::pass(body, &check, &self.metadata);
            let held = within(self.deadline, held.boxed()).await;
            body = held.map_err(|status| cause(&refused, status))?;
        }
        let mut request = request(self.path, self.metadata, body);
        request.extensions_mut().insert(self.caller);
        let mut ended = self.lease.map(lease::ended);
        let sent = request_body::send(self.upstream, request, self.deadline);
        let sent = lease::unless(&mut ended, sent).await;
        let (response, lifeline) = sent.map_err(|status| cause(&refused, status))?;
        let messages = messages(response, self.max_message_bytes, self.mask);
        Ok(Messages {
            deadline: self.deadline,
            ended,
            _lifeline: Some(lifeline),
            refused: refused.clone(),
            ..messages.map_err(|status| cause(&refused, status))?
        })
    }
}

impl Messages {
    /// The next message; `None` at the end. The metadata of an error includes what came before it
    /// and was not taken.
    pub(crate) async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        let received = poll_fn(
            |context| match lease::poll_ended(&mut self.ended, context) {
                Some(status) => Poll::Ready(Err(status)),
                None => self.reader.poll_message(context),
            },
        );
        let received = within(self.deadline, received).await;
        let received = received.and_then(|message| match message {
            Some(message) => self.masked(message).map(Some),
            None => Ok(None),
        });
        received.map_err(|status| with_metadata(cause(&self.refused, status), self.metadata()))
    }

    /// Returns the next message if it has arrived already, and needs no mask.
    pub(crate) fn ready_message(&mut self) -> Option<Bytes> {
        match self.mask {
            None => self.reader.ready_message(),
            // A mask can fail, which only a wait can tell.
            Some(_) => None,
        }
    }

    fn masked(&mut self, message: Bytes) -> Result<Bytes, Status> {
        let masked = self
            .mask
            .as_ref()
            .map(|mask| mask.masked(&message))
            .transpose()?;
        let masked = masked.flatten();
        self.is_masked |= masked.is_some();
        Ok(masked.unwrap_or(message))
    }

    /// Takes the metadata from before the first message; empty afterwards.
    pub(crate) fn metadata(&mut self) -> HeaderMap {
        std::mem::take(&mut self.metadata)
    }

    /// Takes the trailers; empty before [`Messages::message`] has returned `None`, and afterwards.
    pub(crate) fn trailers(&mut self) -> HeaderMap {
        self.reader.trailers()
    }

    fn new(reader: MessageReader, metadata: HeaderMap) -> Self {
        Self {
            reader,
            metadata,
            refused: AbortReason::default(),
            deadline: None,
            ended: None,
            _lifeline: None,
            mask: None,
            is_masked: false,
        }
    }
}

impl From<Body> for RequestMessages {
    /// A body that the gateway itself never breaks off.
    fn from(body: Body) -> Self {
        Self {
            body,
            refused: AbortReason::default(),
        }
    }
}

/// Prefers the gateway's own reason for an abort over the status of the call.
fn cause(refused: &AbortReason, status: Status) -> Status {
    refused.get().cloned().unwrap_or(status)
}

/// Reads the body of a request that is one message. Pieces are joined as they arrive: kept apart,
/// many small ones would take many times their bytes.
pub(crate) async fn read_whole(
    mut body: Body,
    max_bytes: usize,
    too_large: impl FnOnce() -> Failure,
    holding: &Holding,
) -> Result<Bytes, Failure> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|status| Failure::unread(Some(&status)))?;
        let data = frame.into_data().unwrap_or_default();
        let length = first.len() + joined.len() + data.len();
        if length > max_bytes {
            return Err(too_large());
        }
        holding.receive(data.len())?;
        if length == data.len() {
            first = data;
            continue;
        }
        joined.extend_from_slice(&std::mem::take(&mut first));
        joined.extend_from_slice(&data);
    }
    Ok(match joined.is_empty() {
        true => first,
        false => joined.freeze(),
    })
}

/// Sends a request as it is. The client ends the response at the deadline, the body included.
pub(crate) async fn send(
    mut upstream: Upstream,
    request: Request<Body>,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Status> {
    let response = match deadline {
        Some(deadline) => {
            chassis::deadline::scope(deadline, async { upstream.call(request).await }).await?
        }
        None => upstream.call(request).await?,
    };
    let has_status = response.headers().contains_key(GRPC_STATUS);
    match response.status() {
        _ if !is_grpc(response.headers()) => Err(not_grpc(response.status())),
        StatusCode::OK => Ok(response),
        // "Trailers-Only" of a server that gives errors a status of HTTP as well: gRPC's counts.
        _ if has_status => Ok(with_http_ok(response)),
        status => Err(not_grpc(status)),
    }
}

fn with_http_ok(mut response: Response<Body>) -> Response<Body> {
    *response.status_mut() = StatusCode::OK;
    response
}

/// Bounds a wait by the deadline of the caller.
pub(crate) fn within<T, E: From<Status>>(
    deadline: Option<Instant>,
    wait: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // Not an `async fn`, whose future would hold the wait twice.
    match deadline {
        None => Either::Left(wait),
        Some(deadline) => Either::Right(timeout_at(deadline, wait).map(|timely| {
            let late = || Err(Status::from(Fault::deadline_exceeded()).into());
            timely.unwrap_or_else(|_| late())
        })),
    }
}

fn request(path: String, metadata: HeaderMap, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    // Paths come from descriptors that were compiled, hence are made of identifiers.
    *request.uri_mut() = path.parse().unwrap_or_default();
    *request.headers_mut() = metadata;
    request
        .headers_mut()
        .insert(TE, HeaderValue::from_static("trailers"));
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request
}

fn messages(
    response: Response<Body>,
    max_message_bytes: usize,
    mask: Option<ResponseMask>,
) -> Result<Messages, Status> {
    let (head, body) = response.into_parts();
    let has_status = match rpc::error::from_headers(&head.headers) {
        Some(status) if status.code() == Code::Ok => true,
        Some(status) => return Err(status),
        None => false,
    };
    let reader = MessageReader::new(body, has_status, max_message_bytes);
    Ok(Messages {
        mask,
        ..Messages::new(reader, head.headers)
    })
}

async fn only_message(mut messages: Messages) -> Result<UnaryReply, Status> {
    let message = messages.message().await?;
    let message =
        message.ok_or_else(|| bad_upstream("the upstream sent neither a message nor an error"))?;
    if messages.message().await?.is_some() {
        return Err(bad_upstream("the upstream sent more than one message"));
    }
    let (mut metadata, mut trailers) = (messages.metadata(), messages.trailers());
    if messages.is_masked {
        // The upstream's tag is that of the whole message.
        metadata.remove(ETAG);
        trailers.remove(ETAG);
    }
    Ok(UnaryReply {
        message,
        metadata,
        trailers,
        own: HeaderMap::new(),
    })
}

#[cfg(test)]
mod tests;
