//! Settles messages: applies them in batches, tries those that fail again, or parks them.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use facts::envelope::Fact;
use facts::error::Error;
use facts::settings::Settings;
use rpc::backoff::Backoff;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::metrics::ConsumerMetrics;
use crate::consumer::inbox;
use crate::consumer::{Consumer, HandlerError};
use crate::parking;

use super::batch::{Next, Progress, Run};
use super::budget::Budget;
use super::predecessors::Predecessors;
use super::reread::Memory;

/// Pauses while database or stream don't answer. Retries without limit: nothing can progress during
/// an outage.
const OUTAGE: Backoff = Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(5));

/// Pauses before a message is delivered again that came before its predecessor.
const GAP: Backoff = Backoff::full_jitter(Duration::from_millis(500), Duration::from_secs(5));

/// Deliveries after which a predecessor that is not in the stream counts as lost.
const MAX_GAP_DELIVERIES: u32 = 10;

/// The outcome of a message that a batch did not settle.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its effect is committed, or it is parked.
    Settled,
    /// It joins a batch again, after these facts of its key, which the stream holds before it.
    Again(Vec<Fact>),
    /// Its predecessor is not there yet: deliver it again after this pause.
    Later(Duration),
    /// The process is shutting down.
    Abandoned,
}

/// Settles the messages of one consumer; shared by its tasks.
pub(super) struct Settler {
    pub(super) consumer: Consumer,
    pub(super) pool: PgPool,
    pub(super) stream: Stream<()>,
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: ConsumerMetrics,
    /// One per transaction that may run at once; not held during pauses, so that a failing key
    /// holds up no other.
    pub(super) permits: Semaphore,
    pub(super) shutdown: CancellationToken,
    pub(super) memory: Memory,
}

// === impl Settler ===

impl Settler {
    /// Settles what it can of `runs`, in one transaction; `None` if the process shuts down first.
    pub(super) async fn settle(&self, runs: &[Run]) -> Option<Vec<Progress>> {
        let mut outages = 0;
        loop {
            let permit = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                permit = self.permits.acquire() => permit.ok()?,
            };
            let error = match self.apply(runs).await {
                Ok(progress) => return Some(progress),
                Err(error) => error,
            };
            drop(permit);
            let pause = self.outage(&*error, &mut outages);
            if !self.sleep(pause).await {
                return None;
            }
        }
    }

    /// Tries `fact` until it is applied or parked; `failed` is what its handler returned in a
    /// batch.
    pub(super) async fn retry(&self, fact: &Arc<Fact>, failed: Option<HandlerError>) -> Outcome {
        let retry = Backoff::full_jitter(
            Duration::from_millis(self.settings.retry_base_ms),
            Duration::from_millis(self.settings.retry_max_ms),
        );
        let run = Run {
            key: fact.key.clone(),
            facts: vec![fact.clone()],
        };
        let mut budget = Budget::new(&self.settings);
        let mut failed = failed.map(|error| (error, Duration::ZERO));
        loop {
            if let Some((error, took)) = failed {
                budget.failed(took);
                self.metrics.failures.inc();
                let poison = matches!(error, HandlerError::Poison { .. });
                if poison || budget.is_spent() {
                    return self.park(fact, &error.chain(), budget.attempts()).await;
                }
                let pause = retry.pause(budget.attempts());
                budget.paused(pause);
                tracing::warn!(
                    consumer = self.consumer.name,
                    subject = fact.subject,
                    version = fact.version,
                    attempt = budget.attempts(),
                    ?pause,
                    error = &error as &dyn StdError,
                    "handler failed, trying again"
                );
                if !self.sleep(pause).await {
                    return Outcome::Abandoned;
                }
            }
            let started = Instant::now();
            let settled = self.settle(std::slice::from_ref(&run)).await;
            failed = match settled.and_then(|mut progress| progress.pop()) {
                None => return Outcome::Abandoned,
                Some(Progress { next, .. }) => match next {
                    Next::End => return Outcome::Settled,
                    Next::Failed(error) => Some((error, started.elapsed())),
                    Next::Gap { .. } | Next::Alone => return Outcome::Again(Vec::new()),
                },
            };
        }
    }

    /// Finds what is missing between the version `after`, which was at `sequence`, and `fact`.
    /// `deliveries` counts how often the stream has delivered it.
    pub(super) async fn fill_gap(
        &self,
        fact: &Fact,
        deliveries: u32,
        after: i64,
        sequence: u64,
    ) -> Outcome {
        let mut outages = 0;
        loop {
            let error = match self.close_gap(fact, deliveries, after, sequence).await {
                Ok(outcome) => return outcome,
                Err(error) => error,
            };
            let pause = self.outage(&error, &mut outages);
            if !self.sleep(pause).await {
                return Outcome::Abandoned;
            }
        }
    }

    async fn close_gap(
        &self,
        fact: &Fact,
        deliveries: u32,
        after: i64,
        sequence: u64,
    ) -> Result<Outcome, Error> {
        match self.predecessors(fact, after, sequence).await? {
            Predecessors::Found(facts) => Ok(Outcome::Again(facts)),
            Predecessors::Expired(earliest) => {
                let first = earliest.as_ref().unwrap_or(fact);
                tracing::info!(
                    consumer = self.consumer.name,
                    subject = first.subject,
                    version = first.version,
                    "chain begins here, what came before has left the stream"
                );
                let mut connection = self.pool.acquire().await?;
                inbox::begin_at(&mut connection, &self.consumer.name, first).await?;
                Ok(Outcome::Again(Vec::new()))
            }
            Predecessors::Lost((from, to)) => {
                let reason = format!(
                    "version {} is missing: messages {from} to {to} left the stream before this consumer read them",
                    after + 1
                );
                Ok(self.park(fact, &reason, 0).await)
            }
            Predecessors::Missing if deliveries < MAX_GAP_DELIVERIES => {
                Ok(Outcome::Later(GAP.pause(deliveries)))
            }
            Predecessors::Missing => {
                let reason = format!("version {} is not in the stream", after + 1);
                Ok(self.park(fact, &reason, 0).await)
            }
        }
    }

    /// Parks `fact` and its key.
    async fn park(&self, fact: &Fact, reason: &str, attempts: u32) -> Outcome {
        let mut outages = 0;
        loop {
            match parking::park(&self.pool, &self.consumer, fact, reason, attempts).await {
                Ok(()) => break,
                Err(error) => {
                    let pause = self.outage(&error, &mut outages);
                    if !self.sleep(pause).await {
                        return Outcome::Abandoned;
                    }
                }
            }
        }
        tracing::error!(
            consumer = self.consumer.name,
            subject = fact.subject,
            version = fact.version,
            attempts,
            reason,
            "key parked"
        );
        Outcome::Settled
    }

    pub(super) fn outage(&self, error: &(dyn StdError + 'static), outages: &mut u32) -> Duration {
        *outages += 1;
        let pause = OUTAGE.pause(*outages);
        tracing::warn!(
            consumer = self.consumer.name,
            ?pause,
            error,
            "cannot settle messages now, trying again"
        );
        pause
    }

    /// Returns false if the process shuts down first.
    pub(super) async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}
