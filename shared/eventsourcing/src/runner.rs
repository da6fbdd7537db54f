//! The runner of a projection in one process, and waiting for what one has written oneself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::Process;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::generation;
use crate::horizon::{self, Horizon};
use crate::projection::{self, Projection};

/// Most events in one transaction of a generation.
const BATCH: i64 = 500;
/// Pause while there are no events.
const IDLE: Duration = Duration::from_millis(100);
/// Pause while events wait for open transactions to end.
const WAITING: Duration = Duration::from_millis(5);
/// Pauses after an error: doubled from the first to the last.
const FAILED: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(15)];
/// Steps after which retired generations are looked for.
const TIDY_STEPS: u32 = 20;

/// Wakes a runner, and waits for its projection.
#[derive(Clone, Debug)]
pub struct Handle {
    wake: Arc<Notify>,
    position: watch::Receiver<i64>,
}

/// Why a projection was not waited for to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// The projection has not reached the event in time.
    #[error("the projection is at {position}, before {sequence}")]
    Late {
        /// Where it is.
        position: i64,
        /// Where it should be.
        sequence: i64,
    },
    /// No event has this sequence yet.
    #[error("no event has sequence {0}")]
    Unknown(i64),
}

/// The runner of one projection in one process. Any number of processes may run the same one: each
/// batch is applied by one of them.
#[derive(Debug)]
pub struct Runner<P> {
    projection: P,
    pool: PgPool,
    wake: Arc<Notify>,
    position: watch::Sender<i64>,
}

/// Runs a projection until the process shuts down; see [`Runner::run`].
///
/// The database has applied [`MIGRATIONS`](crate::MIGRATIONS) and the migration of the table.
pub fn serve<P: Projection>(process: &Process, pool: PgPool, projection: P) -> Handle {
    let runner = Runner::new(pool, projection);
    let handle = runner.handle();
    process.spawn("projection", runner.run(process.shutdown()));
    handle
}

// === impl Handle ===

impl Handle {
    /// Looks for new events now, instead of at the next poll.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits at most `patience` until the live generation has applied the event with that sequence.
    ///
    /// # Errors
    /// [`Behind::Late`] after `patience`; [`Behind::Unknown`] at once for a sequence that was never
    /// given out. The outer error is the database's.
    pub async fn reached(
        &self,
        pool: &PgPool,
        sequence: i64,
        patience: Duration,
    ) -> Result<Result<(), Behind>, Error> {
        let mut position = self.position.clone();
        if *position.borrow() >= sequence {
            return Ok(Ok(()));
        }
        if horizon::given_out(&mut *pool.acquire().await?).await? < sequence {
            return Ok(Err(Behind::Unknown(sequence)));
        }
        self.wake();
        let reached = position.wait_for(|position| *position >= sequence);
        if let Ok(Ok(_)) = timeout(patience, reached).await {
            return Ok(Ok(()));
        }
        let position = *self.position.borrow();
        Ok(Err(Behind::Late { position, sequence }))
    }
}

// === impl Runner ===

impl<P: Projection> Runner<P> {
    /// Creates a runner.
    pub fn new(pool: PgPool, projection: P) -> Self {
        Self {
            projection,
            pool,
            wake: Arc::new(Notify::new()),
            position: watch::Sender::new(0),
        }
    }

    /// Returns a handle of this runner.
    pub fn handle(&self) -> Handle {
        Handle {
            wake: self.wake.clone(),
            position: self.position.subscribe(),
        }
    }

    /// Applies events until `shutdown`. After an error the same events are tried again, with pauses
    /// of up to 15 s; the generation says why it stands still ([`progress`](crate::progress)).
    ///
    /// # Errors
    /// None: without the database nothing can be projected.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut horizon = Horizon::default();
        let (mut is_prepared, mut failures, mut steps) = (false, 0, 0_u32);
        while !shutdown.is_cancelled() {
            let pause = match self.step(&mut is_prepared, &mut horizon, steps).await {
                Ok(true) => Duration::ZERO,
                Ok(false) if horizon.is_waiting() => WAITING,
                Ok(false) => IDLE,
                Err(error) => {
                    self.stop(&error).await;
                    failures += 1;
                    FAILED[1].min(FAILED[0] * 2_u32.saturating_pow(failures - 1))
                }
            };
            if pause <= IDLE {
                failures = 0;
            }
            steps = steps.wrapping_add(1);
            // An error is not tried again sooner because something was written.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = sleep(pause) => {}
                () = self.wake.notified(), if failures == 0 => {}
            }
        }
        Ok(())
    }

    async fn step(
        &self,
        is_prepared: &mut bool,
        horizon: &mut Horizon,
        steps: u32,
    ) -> Result<bool, Error> {
        if !*is_prepared {
            projection::prepare::<P>(&self.pool).await?;
            *is_prepared = true;
        }
        let more = projection::step(&self.projection, &self.pool, horizon, BATCH).await?;
        let live = generation::live(&mut *self.pool.acquire().await?, P::NAME).await?;
        let position = live.map_or(0, |(_, position)| position);
        self.position.send_if_modified(|known| {
            let changed = *known != position;
            *known = position;
            changed
        });
        if steps.is_multiple_of(TIDY_STEPS) {
            generation::drop_retired(&self.pool, P::NAME).await?;
        }
        Ok(more)
    }

    async fn stop(&self, error: &Error) {
        let name = P::NAME;
        tracing::error!(
            projection = name,
            error = error as &dyn std::error::Error,
            "projection stands still"
        );
        if matches!(error, Error::Database(error) if store::is_outage(error)) {
            return;
        }
        let problem = error.to_string();
        if let Err(error) = generation::stop(&self.pool, name, P::VERSION, &problem).await {
            tracing::error!(
                projection = name,
                error = &error as &dyn std::error::Error,
                "problem not recorded"
            );
        }
    }
}
