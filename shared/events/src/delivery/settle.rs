//! Settles one message: applies it, recognises it as a repeat, or parks it.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use rpc::backoff::Backoff;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::consumer::inbox::{self, Step};
use crate::consumer::{Consumer, HandlerError};
use crate::envelope::Fact;
use crate::error::Error;
use crate::parking;
use crate::settings::Settings;

use super::budget::Budget;
use super::coverage::{self, Look};
use super::predecessors::Predecessors;

/// Pauses while database or stream don't answer. Retries without limit: nothing can progress during
/// an outage.
const OUTAGE: Backoff = Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(5));

/// Pauses before a message is delivered again that came before its predecessor.
const GAP: Backoff = Backoff::full_jitter(Duration::from_millis(500), Duration::from_secs(5));

/// Deliveries after which a predecessor that is not in the stream counts as lost.
const MAX_GAP_DELIVERIES: u32 = 10;

/// How long the rollback of a failed handler may take, after the server has cancelled its
/// statement.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its effect is committed, or it is parked.
    Settled,
    /// Its predecessor is not there yet: deliver it again after this pause.
    Later(Duration),
    /// The process is shutting down.
    Abandoned,
}

/// The result of one attempt.
enum Attempt {
    Settled,
    Gap { after: i64, sequence: u64 },
}

/// The failure of one attempt.
enum Failure {
    /// Database or stream did not answer: not a fault of the message.
    Outage(Box<dyn StdError + Send + Sync>),
    Handler(HandlerError),
}

/// Settles the messages of one consumer; shared by its tasks.
pub(super) struct Settler {
    pub(super) consumer: Consumer,
    pub(super) pool: PgPool,
    pub(super) stream: Stream<()>,
    pub(super) settings: Arc<Settings>,
    /// One per handler that may run at once; not held during pauses, so that a failing key holds up
    /// no other.
    pub(super) permits: Semaphore,
    pub(super) shutdown: CancellationToken,
}

// === impl Settler ===

impl Settler {
    /// Records how much of the stream the consumer has seen.
    pub(super) async fn look(&self) {
        let looked = async {
            let stream = self.stream.get_info().await;
            let stream = stream.map_err(|error| Error::jetstream("reading the stream", error))?;
            let consumer = self
                .stream
                .consumer_info(self.consumer.durable_name())
                .await;
            let consumer =
                consumer.map_err(|error| Error::jetstream("reading the consumer", error))?;
            let look = Look::new(&stream, &consumer);
            coverage::record(&self.pool, &self.consumer.name, &look).await
        };
        if let Err(error) = looked.await {
            // The pull notices an outage; the next look reports what this one would have.
            tracing::debug!(error = &error as &dyn StdError, "no look at the stream");
        }
    }

    /// Tries until `fact` is settled. `deliveries` counts how often the stream has delivered it.
    pub(super) async fn settle(&self, fact: &Fact, deliveries: u32) -> Outcome {
        let retry = Backoff::full_jitter(
            Duration::from_millis(self.settings.retry_base_ms),
            Duration::from_millis(self.settings.retry_max_ms),
        );
        let mut budget = Budget::new(&self.settings);
        let mut outages = 0;
        loop {
            let started = Instant::now();
            let pause = match self.attempt(fact).await {
                None => return Outcome::Abandoned,
                Some(Ok(Attempt::Settled)) => return Outcome::Settled,
                Some(Ok(Attempt::Gap { after, sequence })) => {
                    match self.close_gap(fact, after, sequence, deliveries).await {
                        Ok(None) => continue,
                        Ok(Some(outcome)) => return outcome,
                        Err(error) => self.outage(fact, &error, &mut outages),
                    }
                }
                Some(Err(Failure::Outage(error))) => self.outage(fact, &*error, &mut outages),
                Some(Err(Failure::Handler(error))) => {
                    budget.failed(started.elapsed());
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
                    pause
                }
            };
            if !self.sleep(pause).await {
                return Outcome::Abandoned;
            }
        }
    }

    /// Tries once, in one transaction; `None` if the process shuts down first.
    async fn attempt(&self, fact: &Fact) -> Option<Result<Attempt, Failure>> {
        let permit = tokio::select! {
            () = self.shutdown.cancelled() => return None,
            permit = self.permits.acquire() => permit.ok()?,
        };
        let span = tracing::info_span!(
            "consume",
            otel.name = format!("consume {}", fact.kind),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.destination.name = fact.subject,
            messaging.consumer.group.name = self.consumer.name,
            version = fact.version,
        );
        if let Some(traceparent) = &fact.traceparent {
            chassis::telemetry::set_parent(&span, traceparent);
        }
        let attempt = self.transact(fact).instrument(span).await;
        drop(permit);
        Some(attempt)
    }

    async fn transact(&self, fact: &Fact) -> Result<Attempt, Failure> {
        let name = &self.consumer.name;
        let mut tx = self.pool.begin().await?;
        if inbox::advance(&mut tx, name, fact).await? {
            let limit = self.settings.handler_timeout();
            let payload = fact.payload.clone();
            let handled = self.consumer.apply(&mut tx, &fact.kind, payload, limit);
            if let Err(error) = handled.await {
                // If the rollback fails too, the connection failed and not the handler. A statement
                // that began just before the handler's timeout is cancelled within `limit`.
                timeout(limit + ROLLBACK_TIMEOUT, tx.rollback()).await??;
                return Err(Failure::Handler(error));
            }
            chassis::crash::point("events.consumer.before_commit");
            tx.commit().await?;
            chassis::crash::point("events.consumer.after_commit");
            return Ok(Attempt::Settled);
        }
        let position = inbox::position(&mut tx, name, &fact.key).await?;
        match position.step(fact.version) {
            Step::Repeat => Ok(Attempt::Settled),
            Step::Park => {
                parking::append(&mut tx, &self.consumer, fact, None, 0).await?;
                tx.commit().await?;
                Ok(Attempt::Settled)
            }
            Step::Gap(after) => Ok(Attempt::Gap {
                after,
                sequence: position.sequence,
            }),
            // Its predecessor was committed between the two statements.
            Step::Apply => Err(Failure::Outage("the key moved".into())),
        }
    }

    /// Settles the versions between `after` and `fact` from the stream; `None` when that is done.
    async fn close_gap(
        &self,
        fact: &Fact,
        after: i64,
        sequence: u64,
        deliveries: u32,
    ) -> Result<Option<Outcome>, Error> {
        match self.settle_predecessors(fact, after, sequence).await? {
            Predecessors::Settled => Ok(None),
            Predecessors::Stopped(outcome) => Ok(Some(outcome)),
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
                Ok(None)
            }
            Predecessors::Lost((from, to)) => {
                let reason = format!(
                    "version {} is missing: messages {from} to {to} left the stream before this consumer read them",
                    after + 1
                );
                Ok(Some(self.park(fact, &reason, 0).await))
            }
            Predecessors::Missing if deliveries < MAX_GAP_DELIVERIES => {
                Ok(Some(Outcome::Later(GAP.pause(deliveries))))
            }
            Predecessors::Missing => {
                let reason = format!("version {} is not in the stream", after + 1);
                Ok(Some(self.park(fact, &reason, 0).await))
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
                    let pause = self.outage(fact, &error, &mut outages);
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

    fn outage(&self, fact: &Fact, error: &(dyn StdError + 'static), outages: &mut u32) -> Duration {
        *outages += 1;
        let pause = OUTAGE.pause(*outages);
        tracing::warn!(
            consumer = self.consumer.name,
            subject = fact.subject,
            version = fact.version,
            ?pause,
            error,
            "cannot settle a message now, trying again"
        );
        pause
    }

    /// Returns false if the process shuts down first.
    async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

// === impl Failure ===

impl From<sqlx::Error> for Failure {
    /// An error of the statement, or its timeout, may repeat for ever: it spends the budget. An
    /// outage of the server is not a fault of the message.
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some() && !store::is_outage(&error) {
            Self::Handler(HandlerError::transient(error))
        } else {
            Self::Outage(error.into())
        }
    }
}

impl From<tokio::time::error::Elapsed> for Failure {
    fn from(error: tokio::time::error::Elapsed) -> Self {
        Self::Outage(error.into())
    }
}
