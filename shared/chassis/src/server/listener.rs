//! The accept loop: HTTP/1.1 and HTTP/2 without TLS on one port, a bound on connections, a bounded drain.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tower::ServiceExt;

use super::Handler;
use crate::Process;

/// Calls at once on one HTTP/2 connection; a peer with more waits, or opens another connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;

/// Between pings on a quiet HTTP/2 connection: finds peers that vanished, and is above the 10 s that clients allow.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long a ping may stay unanswered before the connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// After a failed accept, which mostly means that file descriptors have run out: some need time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the process drains; then stops accepting and waits, within the bound, for running requests.
pub(super) async fn run(listener: TcpListener, handler: Handler, process: &Process) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    let builder = Arc::new(builder());
    let limit = Arc::new(Semaphore::new(process.settings().max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let draining = process.draining();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = accept(&listener, &limit) => accepted,
            // Reaps what has ended; without connections this branch is off.
            Some(_) = connections.join_next() => continue,
        };
        let (stream, permit) = accepted;
        let watcher = graceful.watcher();
        connections.spawn(connection(
            builder.clone(),
            stream,
            handler.clone(),
            watcher,
            permit,
        ));
    }
    drop(listener);
    let bound = process.settings().drain_timeout();
    if tokio::time::timeout(bound, graceful.shutdown())
        .await
        .is_err()
    {
        // Dropping the set closes what is left.
        tracing::warn!(connections = connections.len(), "drain timed out");
    }
}

// The permit comes first: a connection over the limit stays in the listen queue of the system, whose length is bounded.
async fn accept(
    listener: &TcpListener,
    limit: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit.
    let permit = limit.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    builder: Arc<Builder<TokioExecutor>>,
    stream: TcpStream,
    handler: Handler,
    watcher: Watcher,
    permit: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let info: TcpConnectInfo = stream.connect_info();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(info.clone());
        handler.clone().oneshot(request)
    });
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(served).await {
        // Peers vanish all the time: nothing that an operator could act on.
        tracing::debug!(error, "connection ended");
    }
    drop(permit);
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        // WebSocket over HTTP/2 (RFC 8441).
        .enable_connect_protocol();
    builder
}
