//! Metrics of outbox, relay and consumers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chassis::metrics::{Described, write_described};
use facts::error::Error;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// Interval in which the tables are counted.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// Most rows of the outbox that are counted.
const COUNTED_ROWS: i64 = 100_000;

/// Buckets of the facts in a batch: 1, 2, 4, … 1024.
const BATCH_BUCKETS: u16 = 11;

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of one process; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outbox_rows: Gauge,
    outbox_age: Seconds,
    stopped: Family<CauseLabel, Gauge>,
    parked: Family<ConsumerLabel, Gauge>,
    is_owner: Gauge,
    published: Counter,
    interruptions: Counter,
    pending: Family<ConsumerLabel, Gauge>,
    age: Family<ConsumerLabel, Seconds>,
    lost: Family<ConsumerLabel, Gauge>,
    settled: Family<ConsumerLabel, Counter>,
    failures: Family<ConsumerLabel, Counter>,
    redelivered: Family<ConsumerLabel, Counter>,
    batches: Batches,
}

#[derive(Debug)]
struct Batches(Family<ConsumerLabel, Histogram, fn() -> Histogram>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLabel {
    consumer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: String,
}

/// The metrics of one consumer.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerMetrics {
    /// Messages of the stream that are not settled.
    pub(crate) pending: Gauge,
    /// Age of the oldest of them.
    pub(crate) age: Seconds,
    /// Messages that left the stream unread.
    pub(crate) lost: Gauge,
    /// Facts applied, recognised as repeats, or parked.
    pub(crate) settled: Counter,
    /// Attempts of handlers on a single fact that failed.
    pub(crate) failures: Counter,
    /// Messages that were delivered before.
    pub(crate) redelivered: Counter,
    /// Facts per batch.
    pub(crate) batches: Histogram,
}

// === impl Metrics ===

impl Metrics {
    /// Returns the metrics of the consumer `name`, from now on shown.
    pub(crate) fn consumer(&self, name: &str) -> ConsumerMetrics {
        let label = ConsumerLabel {
            consumer: name.to_owned(),
        };
        let inner = &self.inner;
        ConsumerMetrics {
            pending: inner.pending.get_or_create_owned(&label),
            age: inner.age.get_or_create_owned(&label),
            lost: inner.lost.get_or_create_owned(&label),
            settled: inner.settled.get_or_create_owned(&label),
            failures: inner.failures.get_or_create_owned(&label),
            redelivered: inner.redelivered.get_or_create_owned(&label),
            batches: inner.batches.0.get_or_create_owned(&label),
        }
    }

    /// Shows whether this process publishes the outbox.
    pub(crate) fn owns(&self, is_owner: bool) {
        self.inner.is_owner.set(is_owner.into());
    }

    /// Counts rows that the stream has acknowledged.
    pub(crate) fn published(&self, rows: usize) {
        self.inner.published.inc_by(rows as u64);
    }

    /// Counts a session of the relay that failed.
    pub(crate) fn interrupted(&self) {
        self.inner.interruptions.inc();
    }

    /// Counts the tables until `shutdown`.
    pub(crate) async fn sample(
        &self,
        pool: &PgPool,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        while shutdown
            .run_until_cancelled(interval.tick())
            .await
            .is_some()
        {
            if let Err(error) = self.count(pool).await {
                // Readiness shows that the database is away; the values stay as they were.
                tracing::debug!(%error, "tables not counted");
            }
        }
        Ok(())
    }

    async fn count(&self, pool: &PgPool) -> Result<(), Error> {
        let inner = &self.inner;
        let outbox = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM (SELECT FROM events.outbox LIMIT $1) AS rows) AS "rows!",
                      coalesce((SELECT extract(epoch FROM clock_timestamp() - outbox.created_at)::float8
                       FROM events.outbox AS outbox
                       WHERE NOT EXISTS (SELECT FROM events.stopped AS stopped
                                         WHERE stopped.context = outbox.context
                                           AND stopped.aggregate = outbox.aggregate
                                           AND stopped.key = outbox.key)
                       ORDER BY id LIMIT 1), 0) AS "age!""#,
            COUNTED_ROWS,
        )
        .fetch_one(pool)
        .await?;
        inner.outbox_rows.set(outbox.rows);
        inner.outbox_age.set(outbox.age.max(0.0));
        let stopped = sqlx::query!(
            r#"SELECT cause, count(stopped.key) AS "keys!"
               FROM unnest(ARRAY['forked', 'foreign', 'refused']) AS cause
               LEFT JOIN events.stopped AS stopped USING (cause) GROUP BY cause"#
        )
        .fetch_all(pool)
        .await?;
        for row in stopped {
            let cause = row.cause.unwrap_or_default();
            let label = CauseLabel { cause };
            inner.stopped.get_or_create(&label).set(row.keys);
        }
        let parked = sqlx::query!(
            r#"SELECT consumer, (SELECT count(DISTINCT key) FROM events.parked AS parked
                                 WHERE parked.consumer = coverage.consumer) AS "keys!"
               FROM events.coverage AS coverage"#
        )
        .fetch_all(pool)
        .await?;
        for row in parked {
            let label = ConsumerLabel {
                consumer: row.consumer,
            };
            inner.parked.get_or_create(&label).set(row.keys);
        }
        Ok(())
    }

    /// Writes all metrics.
    pub(crate) fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.of_the_outbox().into_iter().chain(self.of_consumers());
        write_described(encoder, all)
    }

    fn of_the_outbox(&self) -> [Described<'_>; 7] {
        let inner = &self.inner;
        [
            (
                "events_outbox_rows",
                "Facts that are committed and not published, counted up to 100000",
                &inner.outbox_rows,
            ),
            (
                "events_outbox_oldest_age_seconds",
                "Age of the oldest fact to publish, stopped keys left out",
                &inner.outbox_age,
            ),
            (
                "events_stopped_keys",
                "Keys whose facts are not published until an operator decides",
                &inner.stopped,
            ),
            (
                "events_parked_keys",
                "Keys whose facts are not applied until an operator decides",
                &inner.parked,
            ),
            (
                "events_relay_owner",
                "1 if this process publishes the outbox of its database",
                &inner.is_owner,
            ),
            (
                "events_relay_published",
                "Facts that the stream has acknowledged",
                &inner.published,
            ),
            (
                "events_relay_interruptions",
                "Sessions of the relay that failed",
                &inner.interruptions,
            ),
        ]
    }

    fn of_consumers(&self) -> [Described<'_>; 7] {
        let inner = &self.inner;
        [
            (
                "events_consumer_pending",
                "Messages of the stream that the consumer has not settled",
                &inner.pending,
            ),
            (
                "events_consumer_oldest_age_seconds",
                "Age of the oldest message that the consumer has not settled",
                &inner.age,
            ),
            (
                "events_consumer_lost",
                "Messages that left the stream before the consumer read them",
                &inner.lost,
            ),
            (
                "events_consumer_settled",
                "Facts that were applied, recognised as repeats, or parked",
                &inner.settled,
            ),
            (
                "events_consumer_failures",
                "Attempts on a single fact that failed",
                &inner.failures,
            ),
            (
                "events_consumer_redelivered",
                "Messages that were delivered before",
                &inner.redelivered,
            ),
            (
                "events_consumer_batch_facts",
                "Facts that one transaction was to apply",
                &inner.batches.0,
            ),
        ]
    }
}

// === impl Batches ===

impl Default for Batches {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(exponential_buckets(1.0, 2.0, BATCH_BUCKETS))
        }))
    }
}

#[cfg(test)]
mod tests {
    use chassis::metrics::{self, Format};

    use super::*;

    const ALERTS: &str = include_str!("../../../../deploy/alerts/events.rules.yaml");

    #[test]
    fn alerts_read_metrics_that_exist() {
        let metrics = Metrics::default();
        metrics.consumer("c");
        let process = metrics::Metrics::new("test");
        process.extend(move |encoder| metrics.write(encoder));
        let text = process.encode(Format::Prometheus).unwrap();
        let names = ALERTS.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let names: Vec<_> = names.filter(|name| name.starts_with("events_")).collect();
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            assert!(
                text.contains(&format!("# HELP {name} ")),
                "{name} in\n{text}"
            );
        }
    }
}
