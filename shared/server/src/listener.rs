//! The accept loop: bounded connections of TLS, HTTP/1.1 and HTTP/2 on one port, and their bounded
//! drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use self::addresses::Addresses;
use self::connection::Connections;
use self::socket::{ConnectionPermits, Socket};
use crate::handler::Handler;
use crate::host::Host;
use crate::tls::Tls;

mod activity;
mod addresses;
mod connection;
mod response;
mod socket;

/// The pause after a failed accept, mostly for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the host drains; then stops accepting and waits, within the bound, for running
/// requests.
pub(crate) async fn run(
    listener: TcpListener,
    handler: Handler,
    tls: Option<Arc<Tls>>,
    host: &Host,
) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, tls = tls.is_some(), "listening");
    }
    let (settings, draining) = (&host.settings, &host.draining);
    let shared = Connections::new(handler, tls, &settings.listener, draining.clone());
    let mut connections = ConnectionSet {
        shared: Arc::new(shared),
        addresses: Addresses::new(settings.listener.max_connections_per_address),
        open: TaskTracker::new(),
        tasks: JoinSet::new(),
    };
    let limit = Arc::new(Semaphore::new(settings.max_connections));
    loop {
        tokio::select! {
            () = draining.cancelled() => break,
            (stream, address, permit) = accept(&listener, &limit) => {
                connections.serve(stream, address, permit);
            }
            // Reaps ended connections; disabled without connections.
            Some(_) = connections.tasks.join_next() => {}
        }
    }
    // Connections in the listen queue would be reset with the socket.
    for (stream, address) in drain_queue(listener) {
        let permit = limit.clone().try_acquire_owned().ok();
        connections.serve(stream, address, permit);
    }
    connections.finish(settings.drain_timeout).await;
}

/// The connections of a listener.
struct ConnectionSet {
    shared: Arc<Connections>,
    addresses: Addresses,
    open: TaskTracker,
    tasks: JoinSet<()>,
}

impl ConnectionSet {
    fn serve(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        // Rejected at once instead of queued: all addresses share the listen queue.
        let Ok(address_permit) = self.addresses.count(address.ip()) else {
            tracing::debug!(peer = %address, "too many connections from one address");
            return;
        };
        let permits = ConnectionPermits {
            _permit: permit,
            _address: address_permit,
            _token: self.open.token(),
        };
        let socket = Socket::new(stream, permits);
        self.tasks.spawn(self.shared.clone().serve(socket, address));
    }

    async fn finish(self, bound: Duration) {
        self.open.close();
        // Not the tasks: an upgraded connection outlives its task.
        if tokio::time::timeout(bound, self.open.wait()).await.is_err() {
            // Dropping the set closes the remaining connections.
            tracing::warn!(connections = self.open.len(), "drain timed out");
        }
    }
}

/// Closes a listener and returns the connections of its queue, whose length is bounded.
fn drain_queue(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let next = || {
        let (stream, address) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    };
    std::iter::from_fn(next).collect()
}

// Waits for a permit first: a connection over the limit stays in the listen queue of the system,
// whose length is bounded.
async fn accept(
    listener: &TcpListener,
    limit: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
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
