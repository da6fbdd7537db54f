//! The accept loop: bounded connections of TLS, HTTP/1.1 and HTTP/2 on one port, and their bounded drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use self::addresses::Addresses;
use self::connection::Connections;
use self::socket::{Open, Socket};
use super::Handler;
use super::tls::Tls;
use crate::Process;

mod activity;
mod addresses;
mod connection;
mod settings;
mod socket;

pub use settings::ListenerSettings;

/// After a failed accept, which mostly means that file descriptors have run out: some need time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the process drains; then stops accepting and waits, within the bound, for running requests.
pub(super) async fn run(
    listener: TcpListener,
    handler: Handler,
    tls: Option<Arc<Tls>>,
    process: &Process,
) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, tls = tls.is_some(), "listening");
    }
    let draining = process.draining();
    if let Some(tls) = tls.clone() {
        let following = tls.follow_files(draining.clone());
        process.spawn("certificates", following.map(Ok::<_, Infallible>));
    }
    let settings = process.settings();
    let addresses = Addresses::new(settings.listener.max_connections_per_address);
    let shared = Connections::new(handler, tls, &settings.listener, draining.clone());
    let shared = Arc::new(shared);
    let limit = Arc::new(Semaphore::new(settings.max_connections));
    let open = TaskTracker::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = draining.cancelled() => break,
            accepted = accept(&listener, &limit) => accepted,
            // Reaps what has ended; without connections this branch is off.
            Some(_) = connections.join_next() => continue,
        };
        let (stream, address, permit) = accepted;
        // Refused at once and not kept waiting: the listen queue is for all addresses.
        let Ok(counted) = addresses.count(address.ip()) else {
            tracing::debug!(peer = %address, "too many connections of one address");
            continue;
        };
        let held = Open {
            _permit: permit,
            _counted: counted,
            _token: open.token(),
        };
        connections.spawn(shared.clone().serve(Socket::new(stream, held), address));
    }
    drop(listener);
    open.close();
    // Not the tasks: a connection that was upgraded outlives its own.
    let closed = tokio::time::timeout(settings.drain_timeout(), open.wait());
    if closed.await.is_err() {
        // Dropping the set closes what is left.
        tracing::warn!(connections = open.len(), "drain timed out");
    }
}

// The permit comes first: a connection over the limit stays in the listen queue of the system, whose length is bounded.
async fn accept(
    listener: &TcpListener,
    limit: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit.
    let permit = limit.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
