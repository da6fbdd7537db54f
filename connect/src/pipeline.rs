//! A unit from its position to its end: read, map, deliver, and only then commit.

mod reading;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::delivery::{Calls, Delivery, Halt};
use crate::metrics::SourceMetrics;
use crate::source::{Message, Origin, Source};
use crate::store::{Bounds, Held, Lease, State, Step, Store, StoreError};

use reading::{Chunk, Outcome, Reading};

/// Chunks between the reader and the delivery: while one is delivered, the next is decoded.
const CHUNKS: usize = 2;

/// A unit that is read.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Identity.
    pub(crate) id: String,
    /// Name, for people.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
}

/// A source that this process owns, with what its units need.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) source: Arc<Source>,
    pub(crate) store: Store,
    pub(crate) lease: Lease,
    pub(crate) metrics: SourceMetrics,
    pub(crate) call_timeout: Duration,
    /// Cancelled when the source is paused or lost, or the process stops.
    pub(crate) halt: CancellationToken,
}

/// How a run has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Each record has a durable outcome.
    Done,
    /// No more of it can be read, for this reason.
    Failed(String),
    /// The source was paused, stopped or lost, or the process stops: it goes on from its position.
    Halted,
}

/// Why a run was broken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A statement failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reader died.
    #[error("the reader died")]
    Reader(#[from] tokio::task::JoinError),
}

// === impl Pipeline ===

impl Pipeline {
    /// Runs a unit from the record after `from`.
    ///
    /// # Errors
    /// The database is away, or another process owns the source.
    pub(crate) async fn run(&self, unit: &Unit, file: File, from: u64) -> Result<Ended, RunError> {
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let reading = Reading {
            source: self.source.clone(),
            unit: unit.id.clone(),
            from,
            chunks: sender,
        };
        let reader = spawn_blocking(move || reading.run(file));
        let mut position = from;
        loop {
            let chunk = tokio::select! {
                biased;
                () = self.halt.cancelled() => return Ok(Ended::Halted),
                chunk = chunks.recv() => chunk,
            };
            match chunk {
                None => break,
                Some(Err(refusal)) => return Ok(Ended::Failed(refusal.to_string())),
                Some(Ok(chunk)) => {
                    let to = chunk.to;
                    if let Some(ended) = self.settle(&unit.id, position, chunk).await? {
                        return Ok(ended);
                    }
                    position = to;
                }
            }
        }
        // Without a refusal the channel ends with the file, unless the reader panicked.
        reader.await?;
        Ok(Ended::Done)
    }

    /// Delivers a chunk and commits its outcomes.
    async fn settle(
        &self,
        unit: &str,
        position: u64,
        chunk: Chunk,
    ) -> Result<Option<Ended>, RunError> {
        let Chunk { to, outcomes, ends } = chunk;
        let (mut messages, mut held) = (Vec::with_capacity(outcomes.len()), Vec::new());
        for outcome in outcomes {
            match outcome {
                Outcome::Mapped(message) => messages.push(message),
                Outcome::Held(record) => held.push(record),
            }
        }
        let refused = match self.deliver(unit, &messages, ends).await {
            Ok(refused) => refused,
            Err(Halt::Cancelled) => return Ok(Some(Ended::Halted)),
            Err(Halt::Fatal(reason)) => {
                tracing::warn!(source = self.source.name(), reason, "source stopped");
                self.store.stop(&self.lease, &reason).await?;
                return Ok(Some(Ended::Halted));
            }
        };
        held.extend(refused);
        held.sort_by_key(|record| record.number);
        chassis::crash::point("connect.delivered");
        let step = Step {
            from: position,
            to,
            held,
        };
        let state = self.commit(unit, &step).await?;
        self.count(&messages, &step);
        Ok((state != State::Running).then_some(Ended::Halted))
    }

    async fn deliver(
        &self,
        unit: &str,
        messages: &[Message],
        ends: bool,
    ) -> Result<Vec<Held>, Halt> {
        let origin = Origin {
            source: self.source.name(),
            unit,
        };
        let delivery = Delivery {
            source: &self.source,
            origin: &origin,
            calls: Calls {
                source: &self.source,
                timeout: self.call_timeout,
            },
            cancelled: &self.halt,
            patience: None,
        };
        let refused = delivery.deliver(messages, ends).await?;
        let held = refused.into_iter().filter_map(|refused| {
            let message = messages.get(refused.index)?;
            Some(refused.reason.held(message))
        });
        Ok(held.collect())
    }

    async fn commit(&self, unit: &str, step: &Step) -> Result<State, StoreError> {
        let settings = self.source.settings();
        let bounds = Bounds {
            ratio: settings.stop_above.ratio,
            of: settings.stop_above.of,
            held_max: settings.held_max,
        };
        let mapping = self.source.mapping_version();
        self.store
            .commit(&self.lease, unit, mapping, step, bounds)
            .await
    }

    fn count(&self, messages: &[Message], step: &Step) {
        let records = step.to - step.from;
        self.metrics.records.inc_by(records);
        let held = step.held.len() as u64;
        self.metrics.accepted.inc_by(records.saturating_sub(held));
        for record in &step.held {
            self.metrics.quarantined(&record.rule);
        }
        for (field, present) in self.source.completeness(messages) {
            self.metrics.present(field, present);
        }
    }
}
