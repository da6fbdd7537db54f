//! The runner: claims due instances, gathers them by step, and takes one batch of a step at a time.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::attempt::{Attempt, Saga};
use crate::instance::Instance;
use crate::settings::Settings;
use crate::store;

/// Pauses between claims while no instance is due.
const IDLE: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
];
/// Batches that are held in memory at most, over all steps.
const HELD_BATCHES: usize = 4;
/// Pause between deletions of what ended long ago.
const PURGE_PAUSE: Duration = Duration::from_secs(60);
/// Most instances that one deletion removes.
const PURGE_BATCH: i64 = 1_000;

/// Wakes a runner of this process.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Notify>);

/// The instances at one step.
struct Queue<S> {
    step: S,
    waiting: Vec<Instance<S>>,
    busy: bool,
}

/// The runner of one saga in one process. Any number of processes may run the same saga.
#[derive(Debug)]
pub struct Runner<S: Saga> {
    saga: S,
    pool: PgPool,
    settings: Settings,
    wake: Arc<Notify>,
}

/// A batch that was taken: the index of its queue, and the instances that go on.
type Batch<'a, S> = BoxFuture<'a, (usize, usize, Vec<Instance<S>>)>;

// === impl Handle ===

impl Handle {
    /// Claims now what has just been committed, instead of at the next poll.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

// === impl Runner ===

impl<S: Saga> Runner<S> {
    /// Creates a runner.
    pub fn new(saga: S, pool: PgPool, settings: Settings) -> Self {
        Self {
            saga,
            pool,
            settings,
            wake: Arc::new(Notify::new()),
        }
    }

    /// Returns a handle that wakes the runner.
    pub fn handle(&self) -> Handle {
        Handle(self.wake.clone())
    }

    /// Takes the steps of due instances until `shutdown`; batches that have begun are finished
    /// first. Deletes instances that ended long ago.
    ///
    /// # Errors
    /// None: without the database no instance is due.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        tokio::join!(self.carry(&shutdown), self.purge(&shutdown));
        Ok(())
    }

    async fn carry(&self, shutdown: &CancellationToken) {
        let mut queues: Vec<Queue<S::Step>> = S::DEFINITION.steps().map(Queue::new).collect();
        let mut running: FuturesUnordered<Batch<'_, S::Step>> = FuturesUnordered::new();
        let (mut held, mut idle, mut next_claim) = (0, 0, Instant::now());
        while !shutdown.is_cancelled() {
            let room = self.room(held);
            if room > 0 && Instant::now() >= next_claim {
                let claimed = self.claim(room).await;
                idle = match claimed.len() {
                    0 => (idle + 1).min(IDLE.len() - 1),
                    _ => 0,
                };
                let full = claimed.len() == room;
                next_claim = Instant::now() + if full { Duration::ZERO } else { IDLE[idle] };
                held += claimed.len();
                enqueue(&mut queues, claimed);
            }
            for (index, queue) in queues.iter_mut().enumerate() {
                if let Some(batch) = queue.take(self.settings.batch) {
                    running.push(self.batch(index, queue.step, batch));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified() => next_claim = Instant::now(),
                () = sleep_until(next_claim), if self.room(held) > 0 => {}
                Some((index, taken, advanced)) = running.next(), if !running.is_empty() => {
                    queues[index].busy = false;
                    held -= taken - advanced.len();
                    enqueue(&mut queues, advanced);
                }
            }
        }
        while let Some((_, _, advanced)) = running.next().await {
            enqueue(&mut queues, advanced);
        }
        self.release(queues).await;
    }

    /// Returns how many more instances to hold.
    fn room(&self, held: usize) -> usize {
        let most = self.settings.batch * HELD_BATCHES;
        most.saturating_sub(held).min(self.settings.batch)
    }

    /// Claims due instances. During an outage of the database none is due.
    async fn claim(&self, limit: usize) -> Vec<Instance<S::Step>> {
        store::claim(&self.pool, &S::DEFINITION, limit, self.settings.lease())
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "can't claim sagas"
                );
                Vec::new()
            })
    }

    fn batch(
        &self,
        index: usize,
        step: S::Step,
        batch: Vec<Instance<S::Step>>,
    ) -> Batch<'_, S::Step> {
        let taken = batch.len();
        let name: &'static str = step.into();
        let saga = S::DEFINITION.name;
        let span = tracing::info_span!(
            "saga",
            otel.name = format!("saga {saga} {name}"),
            saga,
            step = name,
            instances = taken,
        );
        follow(&span, &batch);
        let work = async move {
            let attempt = Attempt {
                saga: &self.saga,
                pool: &self.pool,
                settings: &self.settings,
            };
            (index, taken, attempt.take(step, batch).await)
        };
        Box::pin(work.instrument(span))
    }

    /// Deletes what ended longer ago than it is kept, a bounded number at a time.
    async fn purge(&self, shutdown: &CancellationToken) {
        let keep = Duration::from_secs(self.settings.keep_ended_s);
        let forever = async {
            loop {
                match store::purge(&self.pool, S::DEFINITION.name, keep, PURGE_BATCH).await {
                    Ok(deleted) if deleted >= PURGE_BATCH.unsigned_abs() => continue,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "can't delete ended sagas"
                    ),
                }
                sleep(PURGE_PAUSE.min(keep)).await;
            }
        };
        shutdown.run_until_cancelled(forever).await;
    }

    /// Gives back what was claimed and not begun, so that another process needn't wait for the
    /// lease.
    async fn release(&self, queues: Vec<Queue<S::Step>>) {
        let waiting: Vec<_> = queues.into_iter().flat_map(|queue| queue.waiting).collect();
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = store::release(&self.pool, S::DEFINITION.name, &waiting).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "can't release sagas"
            );
        }
    }
}

// === impl Queue ===

impl<S: Copy> Queue<S> {
    fn new(step: S) -> Self {
        Self {
            step,
            waiting: Vec::new(),
            busy: false,
        }
    }

    /// Takes the next batch unless one is under way: while it is, the next one grows.
    fn take(&mut self, most: usize) -> Option<Vec<Instance<S>>> {
        if self.busy || self.waiting.is_empty() {
            return None;
        }
        self.busy = true;
        if self.waiting.len() <= most {
            return Some(mem::take(&mut self.waiting));
        }
        let later = self.waiting.split_off(most);
        Some(mem::replace(&mut self.waiting, later))
    }
}

/// Makes the span of a batch a child of the trace that all of it belongs to, or links it to each of
/// several.
fn follow<S>(span: &Span, batch: &[Instance<S>]) {
    let mut origins: Vec<&str> = batch
        .iter()
        .filter_map(|instance| instance.traceparent.as_deref())
        .collect();
    let is_whole = origins.len() == batch.len();
    origins.sort_unstable();
    origins.dedup();
    match origins[..] {
        [origin] if is_whole => chassis::telemetry::set_parent(span, origin),
        _ => origins
            .into_iter()
            .for_each(|origin| chassis::telemetry::link(span, origin)),
    }
}

fn enqueue<S: PartialEq + Copy>(queues: &mut [Queue<S>], instances: Vec<Instance<S>>) {
    for instance in instances {
        if let Some(queue) = queues.iter_mut().find(|queue| queue.step == instance.step) {
            queue.waiting.push(instance);
        }
    }
}
