//! The load: connections that repeat requests after each response, or requests at a fixed rate.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::ask::{Ask, Protocol};
use super::process::Process;

/// Warm-up before a turn.
const WARM_UP: Duration = Duration::from_millis(300);

/// Most scheduled requests that wait for a connection; more mean that the peer is overloaded.
const BACKLOG_MAX: usize = 100_000;

/// Number of concurrent requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) connections: usize,
    pub(super) streams_per_connection: usize,
}

/// Results of a turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    /// Bytes of response bodies.
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    /// Latencies in microseconds, sorted.
    pub(super) latencies: Vec<u32>,
}

/// The compared parts of a response.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

/// A connection to a peer.
#[derive(Clone)]
pub(super) enum Sender {
    Http1(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// State shared by the connections of a turn.
#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    counts: AtomicBool,
    is_over: AtomicBool,
}

/// Sends one request and returns the body.
pub(super) async fn once(peer: SocketAddr, ask: &Ask) -> Result<Bytes> {
    let mut sender = Sender::open(peer, ask).await?;
    let response = sender.send(ask.request(peer)?).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Sends one request from an address of this machine and returns the body.
pub(super) async fn once_from(source: Ipv4Addr, peer: SocketAddr, ask: &Ask) -> Result<Bytes> {
    let mut sender = Sender::over(connect(source, peer).await?, ask).await?;
    let response = sender.send(ask.request(peer)?).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Connects from an address of this machine.
pub(super) async fn connect(source: Ipv4Addr, peer: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    let stream = socket.connect(peer).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens a connection for one response, and returns it with its head.
pub(super) async fn open(peer: SocketAddr, ask: &Ask) -> Result<Response<Incoming>> {
    let mut sender = Sender::open(peer, ask).await?;
    sender.send(ask.request(peer)?).await
}

/// Repeats requests on all connections after each response, for one turn.
pub(super) async fn closed(
    peer: SocketAddr,
    process: &Process,
    ask: &Ask,
    crowd: Crowd,
    turn: Duration,
) -> Result<Turn> {
    let shared = Arc::new(Shared::default());
    let mut askers = JoinSet::new();
    for _ in 0..crowd.connections {
        let sender = Sender::open(peer, ask).await?;
        for _ in 0..crowd.streams_per_connection {
            let (mut sender, request) = (sender.clone(), ask.request(peer)?);
            let (shared, callers) = (shared.clone(), ask.callers.clone());
            askers.spawn(async move {
                let mut latencies = Vec::new();
                while !shared.is_over.load(Relaxed) {
                    let asked = Instant::now();
                    let mut request = request.clone();
                    callers.sign(&mut request);
                    exchange(&mut sender, request, &shared).await?;
                    shared.note(&mut latencies, asked.elapsed());
                }
                Ok(latencies)
            });
        }
    }
    watch(process, &shared, askers, turn).await
}

/// Sends requests at `rate` per second, regardless of pending responses; a latency begins when its
/// request was due.
pub(super) async fn timed(
    peer: SocketAddr,
    process: &Process,
    ask: &Ask,
    crowd: Crowd,
    rate: f64,
    turn: Duration,
) -> Result<Turn> {
    let shared = Arc::new(Shared::default());
    let (clock, due) = mpsc::channel(BACKLOG_MAX);
    let due = Arc::new(Mutex::new(due));
    let mut askers = JoinSet::new();
    for _ in 0..crowd.connections {
        let mut sender = Sender::open(peer, ask).await?;
        let (due, shared, request) = (due.clone(), shared.clone(), ask.request(peer)?);
        askers.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let next: Option<Instant> = due.lock().await.recv().await;
                let Some(next) = next else {
                    return Ok(latencies);
                };
                exchange(&mut sender, request.clone(), &shared).await?;
                shared.note(&mut latencies, next.elapsed());
            }
        });
    }
    let pace = Duration::from_secs_f64(1.0 / rate);
    let over = shared.clone();
    // A separate thread: the runtime's timers have a resolution of a millisecond.
    #[allow(clippy::disallowed_methods, reason = "the thread has no runtime")]
    let pacer = std::thread::spawn(move || {
        let mut next = Instant::now();
        while !over.is_over.load(Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if clock.try_send(next).is_err() {
                break;
            }
            next += pace;
        }
    });
    let watched = watch(process, &shared, askers, turn).await;
    shared.is_over.store(true, Relaxed);
    let _ = pacer.join();
    watched
}

async fn watch(
    process: &Process,
    shared: &Shared,
    mut askers: JoinSet<Result<Vec<u32>>>,
    turn: Duration,
) -> Result<Turn> {
    let failed = async |askers: &mut JoinSet<Result<Vec<u32>>>| match askers.join_next().await {
        Some(Ok(Err(error))) => error,
        _ => anyhow::anyhow!("nobody asks any more"),
    };
    tokio::select! {
        () = tokio::time::sleep(WARM_UP) => {}
        error = failed(&mut askers) => return Err(error),
    }
    shared.counts.store(true, Relaxed);
    let (begun, cpu, bytes) = (
        Instant::now(),
        process.cpu_time()?,
        shared.bytes.load(Relaxed),
    );
    tokio::select! {
        () = tokio::time::sleep(turn) => {}
        error = failed(&mut askers) => return Err(error),
    }
    let mut seen = Turn {
        elapsed: begun.elapsed(),
        cpu: process.cpu_time()?.saturating_sub(cpu),
        bytes: shared.bytes.load(Relaxed) - bytes,
        resident_bytes: process.resident_bytes()?,
        latencies: Vec::new(),
    };
    shared.counts.store(false, Relaxed);
    shared.is_over.store(true, Relaxed);
    while let Some(latencies) = askers.join_next().await {
        seen.latencies.extend(latencies??);
    }
    seen.latencies.sort_unstable();
    Ok(seen)
}

async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
    shared: &Shared,
) -> Result<()> {
    let mut response = sender.send(request).await?;
    let is_grpc = matches!(sender, Sender::Http2(_));
    let mut succeeded = !is_grpc;
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            shared.bytes.fetch_add(data.len() as u64, Relaxed);
        } else if let Some(trailers) = frame.trailers_ref() {
            succeeded = trailers
                .get("grpc-status")
                .is_some_and(|status| status == "0");
        }
    }
    ensure!(succeeded, "a call has failed");
    Ok(())
}

// === impl Shared ===

impl Shared {
    fn note(&self, latencies: &mut Vec<u32>, latency: Duration) {
        if self.counts.load(Relaxed) {
            latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

// === impl Sender ===

impl Sender {
    /// Opens a connection for requests of this kind.
    pub(super) async fn open(peer: SocketAddr, ask: &Ask) -> Result<Self> {
        let stream = TcpStream::connect(peer).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Self::over(stream, ask).await
    }

    async fn over(stream: TcpStream, ask: &Ask) -> Result<Self> {
        let io = TokioIo::new(stream);
        Ok(match ask.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Sender::Http1(Arc::new(Mutex::new(sender)))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        })
    }

    /// Sends a request; any response will do.
    pub(super) async fn ask(&mut self, peer: SocketAddr, ask: &Ask) -> Result<Answer> {
        let response = self.take(ask.request(peer)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?;
        Ok(Answer {
            status,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        })
    }

    async fn take(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        Ok(match self {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let mut response = self.take(request).await?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            let body = response.body_mut().collect().await?.to_bytes();
            bail!("answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }
}

// === impl Turn ===

impl Turn {
    /// Returns a percentile of the latencies in milliseconds; NaN without any.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let index = (self.latencies.len() * percent)
            .div_ceil(100)
            .saturating_sub(1);
        let micros = self.latencies.get(index).copied();
        micros.map_or(f64::NAN, |micros| f64::from(micros) / 1000.0)
    }
}
