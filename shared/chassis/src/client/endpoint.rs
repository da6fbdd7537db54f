//! One endpoint of an upstream: its connections, and how it is doing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use h2::client::SendRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Connection, Target};
use super::failure::Failure;
use super::settings::ClientSettings;
use super::standing::{Standing, lock};

/// Pauses between attempts to connect that fail in a row: doubled up to the longest one, half of each random.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects when it is first needed, and again when it has to.
pub(super) struct Endpoint {
    pub(super) target: Target,
    pub(super) standing: Standing,
    settings: Arc<ClientSettings>,
    pool: Mutex<Pool>,
    released: Notify,
}

#[derive(Default)]
struct Pool {
    open: Vec<Arc<Connection>>,
    /// One at a time, shared by all that wait for it: a burst of calls must not become a burst of connections.
    connecting: Option<Shared<BoxFuture<'static, Result<(), String>>>>,
    failures: u32,
    /// Until when nobody tries to connect, and why the last attempt failed.
    paused: Option<(Instant, String)>,
}

/// The right to one stream; gives it back when it is dropped.
pub(super) struct Slot {
    pub(super) endpoint: Arc<Endpoint>,
    connection: Arc<Connection>,
}

enum Next {
    Take(Arc<Connection>),
    Connect(Shared<BoxFuture<'static, Result<(), String>>>),
    Wait,
    Fail(String),
}

impl Endpoint {
    pub(super) fn new(target: Target, settings: Arc<ClientSettings>) -> Arc<Self> {
        Arc::new(Self {
            target,
            standing: Standing::default(),
            settings,
            pool: Mutex::default(),
            released: Notify::new(),
        })
    }

    /// Whether a call would at least get as far as trying to connect.
    pub(super) fn is_reachable(&self) -> bool {
        let pool = lock(&self.pool);
        let is_paused = |(until, _): &(Instant, String)| Instant::now() < *until;
        !pool.open.is_empty() || !pool.paused.as_ref().is_some_and(is_paused)
    }

    /// Waits for a stream, over a new connection if the open ones have no room.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<(Slot, SendRequest<Bytes>), Failure> {
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
                        return Err(
                            self.unreachable("connections are closed as soon as they are made")
                        );
                    }
                }
                Next::Connect(connecting) => {
                    connecting
                        .await
                        .map_err(|problem| self.unreachable(&problem))?;
                }
                Next::Wait => released.await,
                Next::Fail(problem) => return Err(self.unreachable(&problem)),
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
            return Next::Wait;
        }
        if let Some((until, problem)) = &pool.paused
            && Instant::now() < *until
        {
            let problem = problem.clone();
            return if pool.open.is_empty() {
                Next::Fail(problem)
            } else {
                Next::Wait
            };
        }
        let connecting = self.clone().connect().boxed().shared();
        pool.connecting = Some(connecting.clone());
        Next::Connect(connecting)
    }

    /// In a task of its own: a caller that gives up must not take the connection from those that come after it.
    async fn connect(self: Arc<Self>) -> Result<(), String> {
        let connecting = tokio::spawn(async move {
            let opened = Connection::open(&self.target, &self.settings).await;
            let mut pool = lock(&self.pool);
            pool.connecting = None;
            match opened {
                Ok(connection) => {
                    pool.open.push(Arc::new(connection));
                    (pool.failures, pool.paused) = (0, None);
                    Ok(())
                }
                Err(problem) => {
                    let pause = pause(pool.failures);
                    pool.failures = pool.failures.saturating_add(1);
                    pool.paused = Some((Instant::now() + pause, problem.clone()));
                    Err(problem)
                }
            }
        });
        connecting
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    fn unreachable(&self, problem: &str) -> Failure {
        Failure::unreachable(self.target.address.authority.as_str(), problem)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.release();
        self.endpoint.standing.end();
        self.endpoint.released.notify_one();
    }
}

/// Half fixed, half random: clients that lost the same server must not come back in step.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(16));
    let half = doubled.min(LONGEST_PAUSE) / 2;
    half + half.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        for failures in 0..40 {
            let full = FIRST_PAUSE
                .saturating_mul(1 << failures.min(16))
                .min(LONGEST_PAUSE);
            let pause = pause(failures);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
    }
}
