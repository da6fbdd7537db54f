//! The accept loop: bounded connections of TLS, HTTP/1.1 and HTTP/2 on one port, and their bounded
//! drain.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::DropGuard;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::activity::Activity;
use self::addresses::Addresses;
use self::arrivals::Arrivals;
use self::connection::Connections;
use self::socket::{ConnectionPermits, Socket};
use crate::handler::Handler;
use crate::host::Host;
use crate::tls::Tls;

mod activity;
mod addresses;
mod arrivals;
mod connection;
pub(crate) mod descriptors;
mod response;
mod socket;
mod turns;

pub use activity::Tunnel;

/// The pause after a failed accept, mostly for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection without a place waits until another one that is idle is closed for it.
const EVICTION_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the host drains; then stops accepting and waits, within the bound, for running
/// requests.
///
/// # Errors
/// The accept loop panicked.
pub(crate) async fn run(
    listener: TcpListener,
    handler: Handler,
    tls: Option<Arc<Tls>>,
    host: &Host,
) -> anyhow::Result<()> {
    // A task of its own: connections that are spawned from the thread of the main future queue
    // apart, and come last while the workers have anything else to do.
    let accepting = tokio::spawn(accept_all(listener, handler, tls, host.clone()));
    AbortOnDropHandle::new(accepting)
        .await
        .context("the accept loop")
}

async fn accept_all(listener: TcpListener, handler: Handler, tls: Option<Arc<Tls>>, host: Host) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, tls = tls.is_some(), "listening");
    }
    let (settings, draining) = (&host.settings, &host.draining);
    let shared = Connections::new(handler, tls, &settings.listener, draining.clone());
    let mut connections = ConnectionSet {
        _closes: shared.closing.clone().drop_guard(),
        shared: Arc::new(shared),
        addresses: Addresses::new(settings.listener.max_connections_per_address),
        open: TaskTracker::new(),
        activities: Vec::new(),
    };
    let mut arrivals = Arrivals::new();
    let limit = Arc::new(Semaphore::new(settings.max_connections));
    loop {
        tokio::select! {
            () = draining.cancelled() => break,
            (stream, address) = accept(&listener), if !arrivals.is_full() => {
                arrivals.push(stream, address);
                while !arrivals.is_full()
                    && let Some(Ok((stream, address))) = listener.accept().now_or_never()
                {
                    arrivals.push(stream, address);
                }
            }
            permit = limit.clone().acquire_owned(), if !arrivals.is_empty() => {
                if let Some((stream, address)) = arrivals.pop() {
                    // The semaphore is never closed.
                    connections.serve(stream, address, permit.ok());
                }
                // One at a time: what arrives at once must not delay the running requests.
                tokio::task::yield_now().await;
            }
            () = tokio::time::sleep(EVICTION_PAUSE), if !arrivals.is_empty() => {}
        }
        if !arrivals.is_empty() && limit.available_permits() == 0 {
            connections.evict_idlest();
        }
    }
    // Connections in the listen queue would be reset with the socket.
    let waiting = std::iter::from_fn(|| arrivals.pop());
    for (stream, address) in waiting.chain(drain_queue(listener)) {
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
    /// Closes the connections that the drain leaves.
    _closes: DropGuard,
    /// Those of open connections, and of some that have ended.
    activities: Vec<Weak<Activity>>,
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
        let turns = address_permit.turns.clone();
        let permits = ConnectionPermits {
            _permit: permit,
            _address: address_permit,
            _token: self.open.token(),
        };
        let socket = Socket::new(stream, permits);
        self.remember(&socket.activity());
        let serving = self.shared.clone().serve(socket, address, turns.clone());
        turns.spawn(serving);
    }

    /// Remembers an activity and, from time to time, forgets those that have ended.
    fn remember(&mut self, activity: &Arc<Activity>) {
        if self.activities.len() == self.activities.capacity() {
            self.activities.retain(|open| open.strong_count() > 0);
        }
        self.activities.push(Arc::downgrade(activity));
    }

    /// Ends the connection that has been without a request for longest, if there is one.
    fn evict_idlest(&self) {
        let open = self.activities.iter().filter_map(Weak::upgrade);
        let idle = open.filter_map(|activity| Some((activity.idle_ms()?, activity)));
        if let Some((_, idlest)) = idle.max_by_key(|(idle, _)| *idle) {
            idlest.evict();
        }
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

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
