//! One request on one stream of a connection, and its response as it arrives.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::poll_fn;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Frame;
use rpc::error::remove_malformed_details;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

use crate::endpoint::{Endpoint, Slot};
use crate::failure::{self, Failure};
use crate::payload::{Payload, Streaming};

/// What requests are sent as, unless they say so themselves.
const USER_AGENT: &str = concat!("protomesh/", env!("CARGO_PKG_VERSION"));

/// A response whose body still arrives.
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) source: Source,
}

/// The body of a response. Dropping it before its end resets the stream with CANCEL.
pub(crate) struct Source {
    /// First, so that the request's end is announced before the stream is let go of.
    _request: Option<oneshot::Sender<Infallible>>,
    stream: RecvStream,
    is_done: bool,
    pub(crate) slot: Slot,
    pub(crate) sent_at: Instant,
}

/// Waits for a stream, sends the request and returns with the headers of the response.
///
/// The payload is taken only once there is a stream for it.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    head: Parts,
    payload: &mut Payload,
) -> Result<Answer, Failure> {
    let (slot, mut sender) = endpoint.acquire().await?;
    let sent_at = Instant::now();
    let head = request(head, endpoint)?;
    let payload = payload.take();
    let is_empty = matches!(&payload, Payload::Whole(bytes) if bytes.is_empty());
    let opened = sender.send_request(head, is_empty);
    let (response, mut stream) = opened.map_err(|error| Failure::of(&error))?;
    let request = match payload {
        Payload::Whole(bytes) if !bytes.is_empty() => {
            // What the window does not take waits in h2, which is as good a place as any.
            let sent = stream.send_data(bytes, true);
            sent.map_err(|error| Failure::of(&error))?;
            None
        }
        Payload::Streaming(body) => {
            let (alive, gone) = oneshot::channel();
            tokio::spawn(pump(body, stream, gone));
            Some(alive)
        }
        Payload::Whole(_) | Payload::Gone => None,
    };
    let response = response.await.map_err(|error| Failure::of(&error))?;
    let (parts, stream) = response.into_parts();
    let mut head = Response::from_parts(parts, ());
    remove_malformed_details(head.headers_mut());
    let source = Source {
        _request: request,
        stream,
        is_done: false,
        slot,
        sent_at,
    };
    Ok(Answer { head, source })
}

/// Makes the request one to this endpoint.
fn request(mut head: Parts, endpoint: &Endpoint) -> Result<Request<()>, Failure> {
    let address = &endpoint.target.address;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(address.scheme.clone());
    uri.authority = Some(address.authority.clone());
    let path = head.uri.path_and_query().cloned();
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let uri = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
    head.uri = uri;
    head.version = Version::HTTP_2;
    // `:authority` says it.
    head.headers.remove(header::HOST);
    head.headers
        .entry(header::USER_AGENT)
        .or_insert_with(|| HeaderValue::from_static(USER_AGENT));
    Ok(Request::from_parts(head, ()))
}

enum Step {
    Frame(Option<Result<Frame<Bytes>, Status>>),
    Room,
    /// Nobody waits for the response any more.
    Gone,
    /// The peer has reset the stream.
    Reset,
}

/// Sends a body as it arrives and as the peer takes it.
async fn pump(
    mut body: Streaming,
    mut stream: SendStream<Bytes>,
    mut gone: oneshot::Receiver<Infallible>,
) {
    loop {
        // Room first: what is read from the body is sent, so a peer that does not read stops the body's source.
        stream.reserve_capacity(1);
        let step = poll_fn(|context| step(&mut body, &mut stream, &mut gone, context)).await;
        match step {
            Step::Room => {}
            Step::Reset => return,
            Step::Gone => {
                // A body that failed must not look as if it was merely given up: CANCEL can be taken for a regular end.
                let last = poll_fn(|context| Poll::Ready(body.poll_frame(context))).await;
                let has_failed = matches!(last, Poll::Ready(Some(Err(_))));
                return stream.send_reset(if has_failed {
                    Reason::INTERNAL_ERROR
                } else {
                    Reason::CANCEL
                });
            }
            Step::Frame(Some(Err(_))) => return stream.send_reset(Reason::INTERNAL_ERROR),
            Step::Frame(None) => {
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
            Step::Frame(Some(Ok(frame))) => {
                // Fails only if the stream was reset, which the next step finds.
                let _ = match frame.into_data() {
                    Ok(data) => stream.send_data(data, false),
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => return drop(stream.send_trailers(trailers)),
                        Err(_) => Ok(()),
                    },
                };
            }
        }
    }
}

fn step(
    body: &mut Streaming,
    stream: &mut SendStream<Bytes>,
    gone: &mut oneshot::Receiver<Infallible>,
    context: &mut Context<'_>,
) -> Poll<Step> {
    if stream.poll_reset(context).is_ready() {
        return Poll::Ready(Step::Reset);
    }
    if stream.capacity() == 0 {
        match stream.poll_capacity(context) {
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Step::Room),
            Poll::Ready(_) => return Poll::Ready(Step::Reset),
            Poll::Pending => {}
        }
    } else if let Poll::Ready(frame) = body.poll_frame(context) {
        return Poll::Ready(Step::Frame(frame));
    }
    gone.poll_unpin(context).map(|_| Step::Gone)
}

// === impl Source ===

impl Source {
    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        loop {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // Whoever has it counts it from here on, so the peer may send as much again.
                    self.stream.flow_control().release_capacity(data.len())?;
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => break,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let mut polled = ready!(self.poll_data(context));
        match &mut polled {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    remove_malformed_details(trailers);
                    self.is_done = true;
                }
            }
            Some(Err(_)) | None => self.is_done = true,
        }
        Poll::Ready(polled.map(|frame| frame.map_err(|error| failure::status(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_done || self.stream.is_end_stream()
    }
}

impl Answer {
    pub(crate) fn into_body(self) -> Source {
        self.source
    }
}
