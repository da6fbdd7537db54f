//! The accept loop: bounded connections of TLS, HTTP/1.1 and HTTP/2 on one port, and their bounded drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use self::addresses::Addresses;
use self::connection::Connections;
use self::socket::{Open, Socket};
use crate::handler::Handler;
use crate::host::Host;
use crate::tls::Tls;

mod activity;
mod addresses;
mod answer;
mod connection;
mod socket;

/// After a failed accept, which mostly means that file descriptors have run out: some need time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the process drains; then stops accepting and waits, within the bound, for running requests.
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
    let mut accepted = Accepted {
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
                accepted.serve(stream, address, permit);
            }
            // Reaps what has ended; without connections this branch is off.
            Some(_) = accepted.tasks.join_next() => {}
        }
    }
    // What the system has accepted for us would be reset with the socket.
    for (stream, address) in waiting(listener) {
        let permit = limit.clone().try_acquire_owned().ok();
        accepted.serve(stream, address, permit);
    }
    accepted.finish(settings.drain_timeout).await;
}

/// The connections of a listener.
struct Accepted {
    shared: Arc<Connections>,
    addresses: Addresses,
    open: TaskTracker,
    tasks: JoinSet<()>,
}

impl Accepted {
    fn serve(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        // Refused at once and not kept waiting: the listen queue is for all addresses.
        let Ok(counted) = self.addresses.count(address.ip()) else {
            tracing::debug!(peer = %address, "too many connections of one address");
            return;
        };
        let held = Open {
            _permit: permit,
            _counted: counted,
            _token: self.open.token(),
        };
        let socket = Socket::new(stream, held);
        self.tasks.spawn(self.shared.clone().serve(socket, address));
    }

    async fn finish(self, bound: Duration) {
        self.open.close();
        // Not the tasks: a connection that was upgraded outlives its own.
        if tokio::time::timeout(bound, self.open.wait()).await.is_err() {
            // Dropping the set closes what is left.
            tracing::warn!(connections = self.open.len(), "drain timed out");
        }
    }
}

/// Closes a listener and returns the connections that were in its queue, whose length is bounded.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
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
