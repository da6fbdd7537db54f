//! A server that runs N calls at once, each for a fixed time, even if the caller has left.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::gateways::upstream::{CREATE_ORDER, grpc, ok, reflection};

/// Header with the time in milliseconds that a call works, in place of the server's.
pub(super) const SERVICE_MS: &str = "x-service-ms";

/// An empty message.
const EMPTY_FRAME: Bytes = Bytes::from_static(&[0; 5]);

const STREAMS_MAX: u32 = 50_000;

pub(super) struct SlotServer {
    pub(super) address: SocketAddr,
    slots: Slots,
    runtime: Handle,
    /// Ends the server's thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Slots {
    free: Arc<Semaphore>,
    service_time: Duration,
    /// Slot time in microseconds, of calls of at most 10 ms and of longer ones.
    used: Arc<[AtomicU64; 2]>,
    reflection: Routes,
}

// === impl SlotServer ===

impl SlotServer {
    /// Starts the server on a new thread, which inherits the processor of the caller.
    pub(super) fn start(slots: usize, service_time: Duration) -> Result<Self> {
        let runtime = crate::gateways::runtime()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let slots = Slots {
            free: Arc::new(Semaphore::new(slots)),
            service_time,
            used: Arc::default(),
            reflection: reflection()?,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (served, handle) = (slots.clone(), runtime.handle().clone());
        // On its own thread, as the caller's may run a runtime already.
        std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = accept(listener, served) => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("cannot start a thread")?;
        Ok(Self {
            address,
            slots,
            runtime: handle,
            _stop: stop,
        })
    }

    pub(super) fn grow(&self, slots: usize) {
        self.slots.free.add_permits(slots);
    }

    pub(super) fn shrink(&self, slots: u32) {
        let free = self.slots.free.clone();
        self.runtime.spawn(async move {
            if let Ok(taken) = free.acquire_many(slots).await {
                taken.forget();
            }
        });
    }

    /// Returns the slot time in microseconds so far, of calls of at most 10 ms and of longer ones.
    pub(super) fn used(&self) -> [u64; 2] {
        [0, 1].map(|kind| self.slots.used[kind].load(Relaxed))
    }
}

async fn accept(listener: std::net::TcpListener, slots: Slots) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Not every system has the option; all peers have the same.
        let _ = stream.set_nodelay(true);
        let slots = slots.clone();
        let service = service_fn(move |request| slots.clone().answer(request));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(STREAMS_MAX);
        // Calls that are given up reset their streams; that is no attack here.
        builder.max_pending_accept_reset_streams(STREAMS_MAX as usize);
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

// === impl Slots ===

impl Slots {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if request.uri().path() != CREATE_ORDER {
            let reflection = self.reflection.clone();
            return reflection.oneshot(request.map(Body::new)).await;
        }
        let own = request.headers().get(SERVICE_MS);
        let own = own.and_then(|value| value.to_str().ok()?.parse().ok());
        let time = own.map_or(self.service_time, Duration::from_millis);
        let (done, answered) = oneshot::channel();
        tokio::spawn(async move {
            let Ok(_slot) = self.free.acquire().await else {
                return;
            };
            let begun = tokio::time::Instant::now();
            sleep(time).await;
            let kind = usize::from(time > Duration::from_millis(10));
            let used = begun.elapsed().as_micros() as u64;
            self.used[kind].fetch_add(used, Relaxed);
            let _ = done.send(());
        });
        let _ = answered.await;
        let body = Full::new(EMPTY_FRAME).with_trailers(async { Some(Ok(ok())) });
        Ok(grpc(body))
    }
}
