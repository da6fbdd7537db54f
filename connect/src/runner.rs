//! Runs the sources, each by one process at a time, and side by side: a slow one stops no other.

mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chassis::Process;
use rpc::backoff::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::intake::{Arrival, Intake, IntakeError, Report};
use crate::metrics::{Metrics, SourceMetrics};
use crate::pipeline::{Ended, Pipeline, RunError};
use crate::settings::Config;
use crate::source::{Source, Sources};
use crate::store::{Begun, Lease, State, Store, StoreError, UnitEnd};

use watch::{RENEWALS, Watch};

/// Pauses after a failure: the database is away, or a directory can't be read.
const BACKOFF: Backoff = Backoff::equal_jitter(Duration::from_millis(100), Duration::from_secs(10));

/// Pause between two counts of what sources hold.
const SAMPLE: Duration = Duration::from_secs(5);

/// Pause between two deletions of what is old.
const PURGE: Duration = Duration::from_secs(3600);

/// The rule of a file that someone has written to while it was read.
const FILE_CHANGED: &str = "FILE_CHANGED: the file was written to while it was read";

/// One source with its intake.
struct Runner {
    source: Arc<Source>,
    intake: Intake,
    store: Store,
    metrics: SourceMetrics,
    lease: Duration,
    poll: Duration,
    call_timeout: Duration,
    shutdown: CancellationToken,
}

/// Why a session of a source has ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Door(#[from] IntakeError),
}

/// Starts the tasks of all sources.
pub(crate) fn start(
    process: &Process,
    config: &Config,
    store: &Store,
    sources: &Arc<Sources>,
    intake: Vec<Intake>,
) {
    let metrics = Metrics::default();
    let shown = metrics.clone();
    process
        .metrics()
        .extend(move |encoder| shown.write(encoder));
    for (source, intake) in sources.iter().zip(intake) {
        let runner = Runner {
            source: source.clone(),
            intake,
            store: store.clone(),
            metrics: metrics.source(source.name()),
            lease: config.lease(),
            poll: config.poll(),
            call_timeout: config.call_timeout(),
            shutdown: process.shutdown(),
        };
        process.spawn("source", runner.run());
    }
    let sampled = sample(store.clone(), sources.clone(), metrics, process.shutdown());
    process.spawn("sample", sampled);
    let purging = purge(store.clone(), config.keep_days, process.shutdown());
    process.spawn("purge", purging);
}

// === impl Runner ===

impl Runner {
    async fn run(self) -> anyhow::Result<()> {
        let mut failures = 0;
        while !self.shutdown.is_cancelled() {
            let pause = match self.session().await {
                Ok(()) => {
                    failures = 0;
                    self.poll
                }
                Err(error) => {
                    failures += 1;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(source = self.source.name(), error, "source interrupted");
                    BACKOFF.pause(failures)
                }
            };
            self.metrics.owned.set(0);
            self.pause(pause).await;
        }
        Ok(())
    }

    /// Reads the source for as long as this process owns it.
    async fn session(&self) -> Result<(), SessionError> {
        let taken = self.store.take(self.source.name(), self.lease).await;
        let Some(lease) = taken.map_err(StoreError::from)? else {
            return Ok(());
        };
        self.metrics.owned.set(1);
        let outcome = self.owned(&lease).await;
        if let Err(error) = self.store.release(&lease).await {
            // It ends by itself.
            tracing::debug!(%error, "lease not released");
        }
        outcome
    }

    async fn owned(&self, lease: &Lease) -> Result<(), SessionError> {
        let mut kept = Instant::now();
        while !self.shutdown.is_cancelled() {
            // Each renewal is a commit.
            let state = if kept.elapsed() < self.lease / RENEWALS {
                self.store.state(lease).await?
            } else {
                kept = Instant::now();
                self.store.keep(lease).await?
            };
            if state != State::Running {
                self.pause(self.poll).await;
                continue;
            }
            let watch = Watch::new(&self.store, lease, self.poll, &self.metrics);
            let round = self.round(lease, &watch);
            let has_read = watch.over(&self.shutdown, round).await?;
            if !has_read {
                self.pause(self.poll).await;
            }
        }
        Ok(())
    }

    /// Reads the next unit; returns whether there was one.
    async fn round(&self, lease: &Lease, watch: &Watch<'_>) -> Result<bool, SessionError> {
        let (arrival, waiting) = match self.intake.next(watch.halt()).await {
            Err(IntakeError::Halted) => return Ok(false),
            found => found?,
        };
        self.metrics.waiting.set(waiting.units);
        self.metrics.waiting_bytes.set(waiting.bytes);
        let Some(arrival) = arrival else {
            watch.oldest(waiting.oldest);
            return Ok(false);
        };
        let waited = waiting.oldest.unwrap_or(arrival.since);
        watch.oldest(Some(waited.min(arrival.since)));
        self.unit(lease, watch.halt(), arrival).await?;
        Ok(true)
    }

    async fn unit(
        &self,
        lease: &Lease,
        halt: &CancellationToken,
        arrival: Arrival,
    ) -> Result<(), SessionError> {
        let Arrival {
            unit,
            file,
            place,
            since,
        } = arrival;
        let version = self.source.mapping_version();
        let (id, name) = (unit.id.as_str(), unit.name.as_str());
        let begun = self
            .store
            .begin(lease, id, name, unit.size_bytes, version)
            .await?;
        let end = match begun {
            Begun::Done => Ended::Done,
            Begun::From(position) => {
                self.metrics.bytes.inc_by(unit.size_bytes);
                let pipeline = Pipeline {
                    source: self.source.clone(),
                    store: self.store.clone(),
                    lease: lease.clone(),
                    metrics: self.metrics.clone(),
                    call_timeout: self.call_timeout,
                    halt: halt.clone(),
                };
                pipeline.run(&unit, file, position).await?
            }
        };
        let is_whole = self.intake.is_unchanged(&place, &unit, since).await?;
        let (end, outcome) = match &end {
            Ended::Halted => return Ok(()),
            Ended::Failed(refusal) => (UnitEnd::Failed(refusal), "failed"),
            Ended::Done if begun == Begun::Done => (UnitEnd::Done, "repeated"),
            Ended::Done if !is_whole => (UnitEnd::Failed(FILE_CHANGED), "failed"),
            Ended::Done => (UnitEnd::Done, "done"),
        };
        let row = self.store.end(lease, id, end).await?;
        chassis::crash::point("connect.ended");
        let rules = self.store.rules(self.source.name(), id).await;
        let rules = rules.map_err(StoreError::from)?;
        let repeated = outcome == "repeated";
        let report = Report::new(self.source.name(), name, row, rules, repeated);
        tracing::info!(
            source = self.source.name(),
            unit = id,
            name,
            outcome,
            records = report.records,
            quarantined = report.quarantined,
            "unit ended"
        );
        self.intake.put_away(place, report).await?;
        self.metrics.ended(outcome);
        Ok(())
    }

    async fn pause(&self, pause: Duration) {
        let slept = tokio::time::sleep(pause);
        self.shutdown.run_until_cancelled(slept).await;
    }
}

/// Shows what the sources hold, until the process stops.
async fn sample(
    store: Store,
    sources: Arc<Sources>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let names = sources.names();
    let mut interval = tokio::time::interval(SAMPLE);
    while shutdown
        .run_until_cancelled(interval.tick())
        .await
        .is_some()
    {
        // Readiness shows that the database is away; the values stay as they were.
        for row in store.sources(&names).await.unwrap_or_default() {
            let shown = metrics.source(&row.name);
            shown.held.set(row.held);
            shown.stopped.set((row.state == State::Stopped).into());
        }
    }
    Ok(())
}

/// Deletes what is old, until the process stops.
async fn purge(store: Store, keep_days: u32, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(PURGE);
    while shutdown
        .run_until_cancelled(interval.tick())
        .await
        .is_some()
    {
        match store.purge(keep_days).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old rows deleted"),
            Err(error) => tracing::warn!(%error, "old rows not deleted"),
        }
    }
    Ok(())
}

/// Returns the time since a moment, zero if it is to come.
fn since(moment: SystemTime) -> Duration {
    moment.elapsed().unwrap_or_default()
}
