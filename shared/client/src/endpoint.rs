//! One endpoint of an upstream: its connections, and how it is doing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use h2::client::SendRequest;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::endpoint::connection::{Connection, Target};
use crate::endpoint::standing::Standing;
use crate::failure::Failure;
use crate::settings::ClientSettings;
use rpc::backoff::Backoff;
use rpc::lock::lock;

pub(crate) mod connection;
pub(crate) mod standing;

/// The pause after a failed attempt to connect: clients that lost the same server must not return in step.
const CONNECT: Backoff = Backoff::equal_jitter(Duration::from_millis(20), Duration::from_secs(2));

/// Connects when it is first needed, and again when it has to.
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    pub(crate) standing: Standing,
    settings: Arc<ClientSettings>,
    pool: Mutex<Pool>,
    released: Notify,
}

#[derive(Default)]
struct Pool {
    open: Vec<Arc<Connection>>,
    /// One at a time, shared by all that wait for it: a burst of calls must not become a burst of connections.
    connecting: Option<Shared<BoxFuture<'static, ()>>>,
    failures: u32,
    /// Until when nobody tries to connect.
    paused: Option<Instant>,
}

/// The right to one stream; gives it back when it is dropped.
pub(crate) struct Slot {
    pub(crate) endpoint: Arc<Endpoint>,
    connection: Arc<Connection>,
}

enum Next {
    Take(Arc<Connection>),
    Connect(Shared<BoxFuture<'static, ()>>),
    /// For a stream to end, or until then.
    Wait(Option<Instant>),
    Fail,
}

impl Endpoint {
    pub(crate) fn new(target: Target, settings: Arc<ClientSettings>) -> Arc<Self> {
        Arc::new(Self {
            target,
            standing: Standing::default(),
            settings,
            pool: Mutex::default(),
            released: Notify::new(),
        })
    }

    /// Whether a call would at least get as far as trying to connect.
    pub(crate) fn is_reachable(&self) -> bool {
        let pool = lock(&self.pool);
        !pool.open.is_empty() || !pool.is_paused()
    }

    /// Waits for a stream, over a new connection if the open ones have no room.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<(Slot, SendRequest<Bytes>), Failure> {
        let mut stale = 0;
        loop {
            // Before the look at the pool, so that a release between the two is not missed.
            let released = self.released.notified();
            match self.next() {
                Next::Take(connection) => {
                    let slot = Slot {
                        endpoint: self.clone(),
                        connection,
                    };
                    self.standing.begin();
                    if let Some(sender) = slot.connection.sender() {
                        return Ok((slot, sender));
                    }
                    stale += 1;
                    // Every old connection may have gone away since, but not every new one.
                    if stale > self.settings.max_connections {
                        return Err(Failure::unreachable());
                    }
                }
                Next::Connect(connecting) => connecting.await,
                Next::Wait(None) => released.await,
                Next::Wait(Some(until)) => tokio::select! {
                    () = released => {}
                    () = sleep_until(until) => {}
                },
                Next::Fail => return Err(Failure::unreachable()),
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

    /// In a task of its own: a caller that gives up must not take the connection from those that come after it.
    async fn connect(self: Arc<Self>) {
        let connecting = tokio::spawn(async move {
            let opened = Connection::open(&self.target, &self.settings).await;
            let mut pool = lock(&self.pool);
            pool.connecting = None;
            match opened {
                Ok(connection) => {
                    pool.open.push(Arc::new(connection));
                    (pool.failures, pool.paused) = (0, None);
                }
                Err(problem) => {
                    let endpoint = &self.target.address.authority;
                    tracing::warn!(%endpoint, problem, "no connection to endpoint of upstream");
                    pool.failures = pool.failures.saturating_add(1);
                    pool.paused = Some(Instant::now() + CONNECT.pause(pool.failures));
                }
            }
        });
        if let Err(error) = connecting.await {
            // Only the end of the runtime ends it early.
            tracing::debug!(%error, "connecting ended early");
        }
    }
}

impl Pool {
    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.release();
        self.endpoint.standing.end();
        self.endpoint.released.notify_one();
    }
}
