//! One request on one stream of a connection, and its response as it arrives.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use admission::Holding;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::poll_fn;
use h2::{Reason, SendStream};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body::Frame;
use rpc::error::{GRPC_STATUS, repair_status};
use rpc::headers::IDENTITY;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use self::abandoned::Running;
use crate::attempt::AttemptError;
use crate::endpoint::Endpoint;
use crate::endpoint::resets::{Resets, YOUNG};
use crate::payload::{Payload, Streaming};

mod abandoned;

/// The default user agent.
const USER_AGENT: &str = concat!("protomesh/", env!("CARGO_PKG_VERSION"));

/// A response head, and its body as it arrives.
pub(crate) struct UpstreamResponse {
    pub(crate) head: Response<()>,
    pub(crate) source: ResponseStream,
}

/// The body of a response. Dropping it before its end ends the call, as [`Running`] says.
pub(crate) struct ResponseStream {
    call: Running,
    is_done: bool,
    /// Whether it ended by a fault of the endpoint.
    pub(crate) is_of_endpoint: bool,
    /// Whether the head said OK, which holds unless the trailers say otherwise.
    is_ok: bool,
    /// Whether the request had the token of its caller, which the response must not show.
    is_identified: bool,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Extension of a request: it has the token of its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identified;

/// Waits for a stream, sends the request and returns the head of the response.
///
/// The payload is consumed once there is a stream for it.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    head: Parts,
    payload: &mut Payload,
    holding: Option<&Holding>,
) -> Result<UpstreamResponse, AttemptError> {
    let (slot, mut sender) = endpoint.acquire().await?;
    let is_identified = head.extensions.get::<Identified>().is_some();
    let head = request(head, endpoint)?;
    let payload = payload.take();
    let opened = sender.send_request(head, false);
    let (response, mut stream) = opened.map_err(|error| slot.error(&error))?;
    let sent_at = Instant::now();
    let request = match payload {
        Payload::Whole(bytes) => {
            // An empty request, too, ends with a DATA frame: some servers wait for one (gRPC over
            // HTTP/2, "Requests"). h2 buffers what exceeds the window. It fails only if the stream
            // has ended already, by an answer or a reset, which the response tells.
            let _ = stream.send_data(bytes, true);
            None
        }
        Payload::Streaming(body) => {
            let (alive, gone) = oneshot::channel();
            let resets = slot.resets();
            let pump = Pump {
                stream,
                gone,
                resets,
                sent_at,
            };
            tokio::spawn(pump.run(body));
            Some(alive)
        }
        Payload::Consumed => None,
    };
    let mut call = Running::new(response, request, slot, holding.cloned(), sent_at);
    let mut head = call.head().await?;
    if is_identified {
        head.headers_mut().remove(IDENTITY);
    }
    let early = early_status(head.headers_mut(), call.is_complete());
    let source = ResponseStream {
        is_of_endpoint: false,
        is_done: early == EarlyStatus::Failed,
        is_ok: early == EarlyStatus::Ok,
        is_identified,
        endpoint: endpoint.clone(),
        call,
    };
    Ok(UpstreamResponse { head, source })
}

/// A status in the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EarlyStatus {
    /// There is none, or the head is the whole response ("Trailers-Only").
    Regular,
    /// OK before the end; it is moved to the trailers.
    Ok,
    /// An error before the end. It ends the call: nothing after it can make it good.
    Failed,
}

/// Repairs the status in a head. A head that is not the whole response must not have one (gRPC over
/// HTTP/2, "Responses"), and clients disagree about which of two counts.
fn early_status(head: &mut HeaderMap, is_whole: bool) -> EarlyStatus {
    repair_status(head);
    match head.get(GRPC_STATUS) {
        Some(_) if is_whole => EarlyStatus::Regular,
        None => EarlyStatus::Regular,
        Some(code) if code == "0" => {
            head.remove(GRPC_STATUS);
            EarlyStatus::Ok
        }
        Some(_) => EarlyStatus::Failed,
    }
}

/// Addresses the request to this endpoint.
fn request(mut head: Parts, endpoint: &Endpoint) -> Result<Request<()>, AttemptError> {
    let address = &endpoint.target.address;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(address.scheme.clone());
    uri.authority = Some(address.authority.clone());
    let path = head.uri.path_and_query().cloned();
    uri.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let uri = Uri::from_parts(uri).map_err(|error| Status::internal(error.to_string()))?;
    head.uri = uri;
    head.version = Version::HTTP_2;
    // `:authority` replaces it.
    head.headers.remove(header::HOST);
    head.headers
        .entry(header::USER_AGENT)
        .or_insert_with(|| HeaderValue::from_static(USER_AGENT));
    Ok(Request::from_parts(head, ()))
}

enum PumpEvent {
    Frame(Option<Result<Frame<Bytes>, Status>>),
    Capacity,
    /// The response was dropped.
    Gone,
    /// The peer has reset the stream.
    Reset,
}

/// The sending side of a call whose body arrives in pieces.
struct Pump {
    stream: SendStream<Bytes>,
    /// Ends with the response.
    gone: oneshot::Receiver<Infallible>,
    resets: Arc<Resets>,
    sent_at: Instant,
}

impl Pump {
    /// Sends a body as it arrives and as the peer reads it.
    async fn run(mut self, mut body: Streaming) {
        loop {
            // Capacity first: a frame that is read must be sent, so a peer that does not read stops
            // the body's source.
            self.stream.reserve_capacity(1);
            match poll_fn(|context| self.step(&mut body, context)).await {
                PumpEvent::Capacity => {}
                PumpEvent::Reset => return,
                PumpEvent::Gone => {
                    // A failed body must not end with CANCEL, which some servers read as a regular
                    // end.
                    let last = poll_fn(|context| Poll::Ready(body.poll_frame(context))).await;
                    let has_failed = matches!(last, Poll::Ready(Some(Err(_))));
                    return self.stream.send_reset(if has_failed {
                        Reason::INTERNAL_ERROR
                    } else {
                        Reason::CANCEL
                    });
                }
                PumpEvent::Frame(Some(Err(_))) => {
                    if !self.resets.allow(self.sent_at) {
                        let _ = timeout_at(self.sent_at + YOUNG, &mut self.gone).await;
                    }
                    return self.stream.send_reset(Reason::INTERNAL_ERROR);
                }
                PumpEvent::Frame(None) => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return;
                }
                PumpEvent::Frame(Some(Ok(frame))) => {
                    // A request of gRPC has no trailers (PROTOCOL-HTTP2, "Request"): those of a
                    // caller would reach the server unchecked, as its headers do not.
                    if let Ok(data) = frame.into_data() {
                        // Fails only if the stream was reset, which the next step detects.
                        let _ = self.stream.send_data(data, false);
                    }
                }
            }
        }
    }

    fn step(&mut self, body: &mut Streaming, context: &mut Context<'_>) -> Poll<PumpEvent> {
        if self.stream.poll_reset(context).is_ready() {
            return Poll::Ready(PumpEvent::Reset);
        }
        if self.stream.capacity() == 0 {
            match self.stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => return Poll::Ready(PumpEvent::Capacity),
                Poll::Ready(_) => return Poll::Ready(PumpEvent::Reset),
                Poll::Pending => {}
            }
        } else if let Poll::Ready(frame) = body.poll_frame(context) {
            return Poll::Ready(PumpEvent::Frame(frame));
        }
        self.gone.poll_unpin(context).map(|_| PumpEvent::Gone)
    }
}

// === impl ResponseStream ===

impl ResponseStream {
    /// Returns when the request was sent.
    pub(crate) fn sent_at(&self) -> Instant {
        self.call.sent_at
    }

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = self.call.body() else {
            return Poll::Ready(None);
        };
        loop {
            match ready!(stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // The reader accounts for the data from here on, so the peer may send as much
                    // again.
                    stream.flow_control().release_capacity(data.len())?;
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => break,
            }
        }
        let trailers = ready!(stream.poll_trailers(context))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl http_body::Body for ResponseStream {
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
        if polled.is_none() && self.is_ok {
            polled = Some(Ok(Frame::trailers(HeaderMap::new())));
        }
        match &mut polled {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    if self.is_identified {
                        trailers.remove(IDENTITY);
                    }
                    if self.is_ok {
                        let ok = HeaderValue::from_static("0");
                        trailers.entry(GRPC_STATUS).or_insert(ok);
                    }
                    repair_status(trailers);
                    self.is_done = true;
                }
            }
            Some(Err(_)) | None => self.is_done = true,
        }
        Poll::Ready(polled.map(|frame| {
            frame.map_err(|error| {
                let failure = self.call.failed(&error);
                self.is_of_endpoint = failure.is_of_endpoint;
                failure.status
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_done || (!self.is_ok && self.call.is_complete())
    }
}

impl UpstreamResponse {
    pub(crate) fn into_body(self) -> ResponseStream {
        self.source
    }
}
