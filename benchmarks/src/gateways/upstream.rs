//! The gRPC server behind all peers: cheap responses of prepared bytes, on a separate thread.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::codec::generated::StreamOrdersRequest;
use crate::corpus::{self, DESCRIPTORS, ORDER};

const SERVICE: &str = "bench.v1.BenchService";

/// Path of the method that echoes an order.
pub(super) const CREATE_ORDER: &str = "/bench.v1.BenchService/CreateOrder";

/// Path of the method that echoes an order to those who may call it.
const GUARDED_ORDER: &str = "/guarded.v1.GuardedService/CreateOrder";

/// Path of the method whose answers are kept.
const GET_ORDER: &str = "/cached.v1.CachedService/GetOrder";

/// Path of the method that streams orders.
pub(super) const STREAM_ORDERS: &str = "/bench.v1.BenchService/StreamOrders";

/// One byte of flags and four of length begin each message of gRPC.
const FRAME_HEADER_BYTES: usize = 5;

/// Size of a write with many messages: tonic yields at this size.
const CHUNK_BYTES: usize = 32 * 1024;

/// Bound of streams, above that of every case.
const STREAMS_MAX: u32 = 50_000;

/// A running upstream.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    sent: Arc<AtomicU64>,
}

/// The service; clones share its counter.
#[derive(Clone)]
struct Bench {
    /// Frames of orders for one write.
    frames: Bytes,
    frame_bytes: usize,
    sent: Arc<AtomicU64>,
    reflection: Routes,
}

/// A stream of orders.
struct Orders {
    bench: Bench,
    left: usize,
    hold: bool,
    ended: bool,
}

/// Returns the order as a gRPC frame.
pub(super) fn order_frame() -> Result<Vec<u8>> {
    let schema = corpus::schema()?;
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    let route = ORDER.route(&schema)?;
    route.encode_request(None, ORDER.json.as_bytes(), &mut frame)?;
    let length = u32::try_from(frame.len() - FRAME_HEADER_BYTES)?;
    frame[1..FRAME_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

// === impl Upstream ===

impl Upstream {
    /// Starts the server on a new thread, which inherits the processor of the caller.
    pub(super) fn start() -> Result<Self> {
        let sent = Arc::new(AtomicU64::new(0));
        let bench = Bench::new(sent.clone())?;
        let runtime = super::runtime()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || runtime.block_on(accept(listener, bench)))
            .context("cannot start a thread")?;
        Ok(Self { address, sent })
    }

    /// Returns the number of orders that streams have written so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

async fn accept(listener: TcpListener, bench: Bench) {
    while let Ok((stream, _)) = listener.accept().await {
        // Not every system has the option; all peers have the same.
        let _ = stream.set_nodelay(true);
        let bench = bench.clone();
        let service = service_fn(move |request| bench.clone().answer(request));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(STREAMS_MAX);
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

// === impl Bench ===

impl Bench {
    fn new(sent: Arc<AtomicU64>) -> Result<Self> {
        let frame = order_frame()?;
        Ok(Self {
            frame_bytes: frame.len(),
            frames: frame.repeat(CHUNK_BYTES / frame.len()).into(),
            sent,
            reflection: reflection()?,
        })
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let answered = match request.uri().path() {
            CREATE_ORDER | GUARDED_ORDER => echo(request).await,
            GET_ORDER => Ok(one(self.frames.slice(..self.frame_bytes))),
            STREAM_ORDERS => self.stream(request).await,
            _ => return self.reflection.oneshot(request.map(Body::new)).await,
        };
        Ok(answered.unwrap_or_else(|error| Status::internal(error.to_string()).into_http()))
    }

    async fn stream(self, request: Request<Incoming>) -> Result<Response<Body>> {
        let frame = request.into_body().collect().await?.to_bytes();
        let message = frame.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let asked = StreamOrdersRequest::decode(message)?;
        Ok(grpc(Orders {
            bench: self,
            left: usize::try_from(asked.count)?,
            hold: asked.hold,
            ended: false,
        }))
    }
}

/// Returns the reflection of the service.
pub(super) fn reflection() -> Result<Routes> {
    let files = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .with_service_name(SERVICE)
    };
    Ok(Routes::new(files().build_v1()?).add_service(files().build_v1alpha()?))
}

/// Echoes the frame.
async fn echo(request: Request<Incoming>) -> Result<Response<Body>> {
    Ok(one(request.into_body().collect().await?.to_bytes()))
}

/// A response of one frame.
fn one(frame: Bytes) -> Response<Body> {
    let body = http_body_util::Full::new(frame);
    grpc(body.with_trailers(async { Some(Ok(ok())) }))
}

pub(super) fn grpc<B>(body: B) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    let mut response = Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

pub(super) fn ok() -> HeaderMap {
    let name = HeaderName::from_static("grpc-status");
    HeaderMap::from_iter([(name, HeaderValue::from_static("0"))])
}

// === impl Orders ===

impl http_body::Body for Orders {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bench = &self.bench;
        if self.left > 0 {
            let count = self.left.min(bench.frames.len() / bench.frame_bytes);
            let chunk = bench.frames.slice(..count * bench.frame_bytes);
            bench.sent.fetch_add(count as u64, Relaxed);
            self.left -= count;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if self.hold {
            // Stays open until the caller drops it.
            return Poll::Pending;
        }
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(ok()))))
    }
}
