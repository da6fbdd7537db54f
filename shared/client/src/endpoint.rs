//! One endpoint of an upstream: its connections and statistics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use h2::client::SendRequest;
use rpc::backoff::Backoff;
use rpc::lock::lock;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::attempt::AttemptError;
use crate::endpoint::connection::{Connection, PingPace, Target};
use crate::endpoint::resets::Resets;
use crate::endpoint::stats::EndpointStats;
use crate::settings::ClientSettings;

pub(crate) mod connection;
pub(crate) mod legal;
pub(crate) mod resets;
pub(crate) mod stats;

/// The pause after a failed attempt to connect: clients that lost the same server must not return
/// in step.
const CONNECT: Backoff = Backoff::equal_jitter(Duration::from_millis(20), Duration::from_secs(2));

/// An endpoint, which connects with its first call and whenever it has to.
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    pub(crate) stats: EndpointStats,
    settings: Arc<ClientSettings>,
    pool: Mutex<Pool>,
    pace: PingPace,
    released: Notify,
}

#[derive(Default)]
struct Pool {
    open: Vec<Arc<Connection>>,
    /// One attempt at a time, shared by all callers: a burst of calls must not open a burst of
    /// connections.
    connecting: Option<Shared<BoxFuture<'static, ()>>>,
    failures: u32,
    /// No attempt to connect before this time.
    paused: Option<Instant>,
}

/// The permit for one stream, released when it is dropped.
pub(crate) struct StreamPermit {
    pub(crate) endpoint: Arc<Endpoint>,
    connection: Arc<Connection>,
}

enum Next {
    Take(Arc<Connection>),
    Connect(Shared<BoxFuture<'static, ()>>),
    /// Wait for a stream to end, or until this time.
    Wait(Option<Instant>),
    Fail,
}

impl Endpoint {
    pub(crate) fn new(target: Target, settings: Arc<ClientSettings>) -> Arc<Self> {
        Arc::new(Self {
            target,
            stats: EndpointStats::default(),
            settings,
            pool: Mutex::default(),
            pace: PingPace::default(),
            released: Notify::new(),
        })
    }

    /// Returns whether a call would at least try to connect.
    pub(crate) fn is_reachable(&self) -> bool {
        let pool = lock(&self.pool);
        !pool.open.is_empty() || !pool.is_paused()
    }

    /// Waits for a stream, on a new connection if the open ones are full.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
    ) -> Result<(StreamPermit, SendRequest<Bytes>), AttemptError> {
        let mut stale = 0;
        loop {
            // Before the pool is inspected, so that a release in between is not missed.
            let released = self.released.notified();
            match self.next() {
                Next::Take(connection) => {
                    let slot = StreamPermit {
                        endpoint: self.clone(),
                        connection,
                    };
                    self.stats.begin();
                    if let Some(sender) = slot.connection.sender() {
                        return Ok((slot, sender));
                    }
                    stale += 1;
                    // Every old connection may have closed since, but not every new one.
                    if stale > self.settings.max_connections {
                        return Err(AttemptError::unreachable());
                    }
                }
                Next::Connect(connecting) => connecting.await,
                Next::Wait(None) => released.await,
                Next::Wait(Some(until)) => tokio::select! {
                    () = released => {}
                    () = sleep_until(until) => {}
                },
                Next::Fail => return Err(AttemptError::unreachable()),
            }
        }
    }

    fn next(self: &Arc<Self>) -> Next {
        let mut pool = lock(&self.pool);
        pool.open.retain(|connection| connection.is_open());
        if let Some(connection) = pool.open.iter().find(|connection| connection.reserve()) {
            return Next::Take(connection.clone());
        }
        if let Some(connecting) = &pool.connecting {
            return Next::Connect(connecting.clone());
        }
        if pool.open.len() >= self.settings.max_connections {
            return Next::Wait(None);
        }
        if pool.is_paused() {
            return match pool.open.is_empty() {
                true => Next::Fail,
                false => Next::Wait(pool.paused),
            };
        }
        let connecting = self.clone().connect().boxed().shared();
        pool.connecting = Some(connecting.clone());
        Next::Connect(connecting)
    }

    /// Connects in a task, so that a caller that gives up does not abort the connection of the
    /// others.
    async fn connect(self: Arc<Self>) {
        let shared = self.clone();
        let connecting = tokio::spawn(async move {
            let opened = Connection::open(&self.target, &self.settings, &self.pace).await;
            let mut pool = lock(&self.pool);
            pool.connecting = None;
            match opened {
                Ok(connection) => {
                    pool.open.push(Arc::new(connection));
                    (pool.failures, pool.paused) = (0, None);
                }
                Err(problem) => {
                    let endpoint = &self.target.address.authority;
                    tracing::warn!(%endpoint, problem, "upstream endpoint not reachable");
                    pool.failed();
                }
            }
        });
        if let Err(error) = connecting.await {
            // Only the end of the runtime aborts it. Its callers would wait for it again, for ever.
            tracing::debug!(%error, "connection attempt aborted");
            lock(&shared.pool).failed();
        }
    }
}

impl Pool {
    /// Ends an attempt to connect without a connection.
    fn failed(&mut self) {
        self.connecting = None;
        self.failures = self.failures.saturating_add(1);
        self.paused = Some(Instant::now() + CONNECT.pause(self.failures));
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }
}

impl StreamPermit {
    /// Returns the allowance for resets of young calls, which is the connection's.
    pub(crate) fn resets(&self) -> Arc<Resets> {
        self.connection.resets.clone()
    }

    /// Returns the error of this stream. A lost connection is held against the endpoint once: what
    /// one caller provoked must not count for each of the others.
    pub(crate) fn error(&self, error: &h2::Error) -> AttemptError {
        let mut failure = AttemptError::of(error);
        if error.is_io() || error.is_go_away() {
            failure.is_of_endpoint &= self.connection.note_loss();
        }
        failure
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.connection.release();
        self.endpoint.stats.end();
        self.endpoint.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::settings::address::Address;

    #[test]
    fn a_call_on_a_runtime_that_has_ended_fails_instead_of_spinning() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        let target = Target {
            address: Address::parse("http://127.0.0.1:9").unwrap(),
            socket: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            tls: None,
        };
        let endpoint = Endpoint::new(target, Arc::default());
        assert!(futures::executor::block_on(endpoint.acquire()).is_err());
    }
}
