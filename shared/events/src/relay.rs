//! Moves committed facts from the outbox to their streams, in order per key, and to the archive
//! once acknowledged.

mod lease;
mod outbox;
mod publisher;
mod rollback;
mod single;
mod watermark;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::stream::Stream;
use facts::envelope::OutboxRow;
use facts::error::Error;
use facts::subject;
use futures::StreamExt as _;
use rpc::backoff::Backoff;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::bus::stream::{self, Role};
use crate::stopped::{self, Due, Resolution};

use outbox::{BatchProgress, Tail};
use publisher::{PublishError, Publisher};
use watermark::Watermark;

pub(crate) use lease::Lease;

/// Pause between attempts to take the lease.
const STANDBY_POLL: Duration = Duration::from_millis(500);

/// Interval in which the archive is pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// Pauses after a failed session.
const RETRY: Backoff = Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(2));

/// Relays until `shutdown`. Any failure ends the session; the next one starts from the state of the
/// database.
pub(crate) async fn run(bus: &Bus, shutdown: &CancellationToken) -> Result<(), Error> {
    let mut relay = Relay {
        bus,
        publishers: HashMap::new(),
        failures: 0,
    };
    loop {
        let error = match relay.session(shutdown).await {
            Err(error @ Error::Mismatch { .. }) => return Err(error),
            Err(error) => error,
            Ok(()) => return Ok(()),
        };
        relay.failures += 1;
        bus.metrics.interrupted();
        let pause = RETRY.pause(relay.failures);
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            ?pause,
            "relay interrupted"
        );
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Relay<'a> {
    bus: &'a Bus,
    /// By context.
    publishers: HashMap<String, Publisher>,
    /// Failures in a row.
    failures: u32,
}

// === impl Relay ===

impl Relay<'_> {
    /// Relays until `shutdown`, on a connection of its own: a busy pool must not cost the lease.
    async fn session(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut connection = self.bus.pool.acquire().await?.detach();
        let mut lease = None;
        let ended = shutdown
            .run_until_cancelled(self.relay(&mut connection, &mut lease))
            .await;
        self.bus.metrics.owns(false);
        // Work in progress is cut off, and its transaction may hold the row of the lease. It ends
        // with its connection, after a statement that the server still runs.
        drop(connection);
        if let Some(lease) = lease {
            let released = async {
                let mut connection = self.bus.pool.acquire().await?;
                lease.release(&mut connection).await
            };
            match tokio::time::timeout(lease.term(), released).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "lease not released, it will expire"),
                Err(_) => tracing::debug!("lease not released in time, it has expired"),
            }
        }
        match ended {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(never)) => match never {},
        }
    }

    async fn relay(
        &mut self,
        connection: &mut PgConnection,
        held: &mut Option<Lease>,
    ) -> Result<Infallible, Error> {
        let settings = &self.bus.settings;
        let term = Duration::from_millis(settings.relay_lease_ms);
        let lease = loop {
            if let Some(lease) = Lease::take(connection, term).await? {
                break held.insert(lease);
            }
            tokio::time::sleep(STANDBY_POLL).await;
        };
        chassis::crash::point("events.relay.lease_taken");
        tracing::info!("relay owns the outbox");
        self.bus.metrics.owns(true);
        let mut wakes = self.bus.wakes().await?;
        let shortest = Duration::from_millis(settings.relay_poll_min_ms);
        let longest =
            Duration::from_millis(settings.relay_poll_max_ms).min(term / lease::RENEWALS_PER_TERM);
        let mut pause = shortest;
        let mut pruned = None;
        let mut watermark = Watermark::new();
        let mut connects = None;
        loop {
            lease.keep(connection).await?;
            let now = rollback::connects(self.bus);
            if connects != Some(now) {
                self.restore_streams(connection, lease).await?;
                connects = Some(now);
                // Rows may be below it.
                watermark = Watermark::new();
            }
            for due in stopped::due(connection).await? {
                self.resolve(connection, lease, &due).await?;
                // Rows of the key may be below it.
                watermark = Watermark::new();
            }
            watermark.look(connection).await?;
            let low = watermark.low();
            let (rows, tails) = read(connection, low, settings.relay_batch_rows).await?;
            watermark.read(rows.first().map(|row| row.id));
            let Some(last) = rows.last().map(|row| row.id) else {
                self.prune(connection, &mut pruned).await?;
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                    () = woken(self.bus, &mut wakes) => pause = shortest,
                }
                continue;
            };
            self.drain(connection, lease, rows, tails, now).await?;
            watermark.drained(last);
            self.failures = 0;
            pause = shortest;
        }
    }

    /// Deletes what has been in the archive for long enough.
    async fn prune(
        &self,
        connection: &mut PgConnection,
        pruned: &mut Option<Instant>,
    ) -> Result<(), Error> {
        if pruned.is_some_and(|at| at.elapsed() < PRUNE_INTERVAL) {
            return Ok(());
        }
        let keep = Duration::from_secs(self.bus.settings.archive_max_age_s);
        let rows = outbox::prune(connection, keep).await?;
        if rows < usize::from(outbox::PRUNED_ROWS) {
            *pruned = Some(Instant::now());
        }
        Ok(())
    }

    /// Carries out what an operator has decided about a stopped key.
    async fn resolve(
        &mut self,
        connection: &mut PgConnection,
        lease: &mut Lease,
        due: &Due,
    ) -> Result<(), Error> {
        let subject = subject::of(&due.context, &due.aggregate, &due.key);
        let end = match due.resolution {
            Resolution::Renumber => self.publisher(&due.context).await?.end(&subject).await?,
            Resolution::Retry | Resolution::Discard => None,
        };
        let mut tx = connection.begin().await?;
        lease.renew(&mut tx).await?;
        match due.resolution {
            Resolution::Retry => {}
            Resolution::Renumber => {
                let end = Tail {
                    sequence: end.as_ref().map_or(0, |end| end.sequence),
                    // A message that is no fact has no version: the chain goes on as it is.
                    version: end.and_then(|end| end.version).unwrap_or(due.version - 1),
                };
                stopped::renumber(&mut tx, due, end.version + 1).await?;
                outbox::set_tail(&mut tx, &subject, end).await?;
            }
            Resolution::Discard => {
                stopped::discard(&mut tx, due).await?;
                stopped::renumber(&mut tx, due, due.version).await?;
            }
        }
        stopped::free(&mut tx, due).await?;
        tx.commit().await?;
        tracing::warn!(subject, version = due.version, resolution = ?due.resolution, "key resumed");
        Ok(())
    }

    /// Publishes `rows`, one batch per context, and archives those that the stream holds.
    ///
    /// Records nothing if the stream may have gone back in the meantime (`connects`): the record
    /// shows what it has lost.
    async fn drain(
        &mut self,
        connection: &mut PgConnection,
        lease: &mut Lease,
        rows: Vec<OutboxRow>,
        mut tails: HashMap<String, Tail>,
        connects: u64,
    ) -> Result<(), Error> {
        let mut by_context: BTreeMap<String, Vec<OutboxRow>> = BTreeMap::new();
        for row in rows {
            by_context.entry(row.context.clone()).or_default().push(row);
        }
        for (context, rows) in by_context {
            let known = rows
                .iter()
                .filter_map(|row| tails.remove_entry(&row.subject()));
            let mut progress = BatchProgress::new(known.collect());
            chassis::crash::point("events.relay.before_publish");
            let published = self.publish(&context, &rows, &mut progress).await;
            if published.is_ok() {
                chassis::crash::point("events.relay.after_publish");
            }
            if let Err(error @ Error::StreamWentBack { .. }) = published {
                return Err(error);
            }
            if rollback::connects(self.bus) != connects {
                published?;
                return Err(Error::Reconnected);
            }
            // Published rows and stopped keys are recorded even if a later row failed.
            let published_rows = outbox::record(connection, lease, &progress).await?;
            self.bus.metrics.published(published_rows);
            published?;
        }
        Ok(())
    }

    async fn publish<'r>(
        &mut self,
        context: &str,
        rows: &'r [OutboxRow],
        progress: &mut BatchProgress<'r>,
    ) -> Result<(), Error> {
        let publisher = self.publisher(context).await?;
        let pending = progress.pending(rows);
        let published = match publisher.batch(&pending).await {
            Ok(last) => {
                let first = last + 1 - pending.len() as u64;
                for (sequence, message) in (first..).zip(&pending) {
                    progress.published(message.row, &message.subject, sequence);
                }
                return Ok(());
            }
            // A message of the batch is in the stream already, a subject has later messages, or one
            // is too large: check one by one.
            Err(PublishError::Fenced | PublishError::Repeated | PublishError::Refused(_)) => {
                single::publish(publisher, rows, progress).await
            }
            Err(PublishError::Failed(error)) => Err(error),
        };
        if published.is_err() {
            // The server may have lost the stream: declare it again.
            self.publishers.remove(context);
        }
        published
    }

    async fn publisher(&mut self, context: &str) -> Result<&Publisher, Error> {
        if !self.publishers.contains_key(context) {
            let stream: Stream = stream::declare(self.bus, context, Role::Owner).await?;
            let publisher = Publisher::new(self.bus.client.clone(), stream);
            self.publishers.insert(context.to_owned(), publisher);
        }
        Ok(&self.publishers[context])
    }
}

/// Reads rows and the ends of their subjects as they are at one moment: a rebuild between the two
/// would make a later fact the first of its subject.
async fn read(
    connection: &mut PgConnection,
    low: i64,
    limit: u16,
) -> Result<(Vec<OutboxRow>, HashMap<String, Tail>), Error> {
    let mut tx = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .await?;
    let rows = outbox::read(&mut tx, low, limit).await?;
    let subjects: Vec<String> = rows.iter().map(OutboxRow::subject).collect();
    let tails = match subjects.is_empty() {
        true => HashMap::new(),
        false => outbox::tails(&mut tx, &subjects).await?,
    };
    tx.commit().await?;
    Ok((rows, tails))
}

/// Waits for a commit in this process or another.
async fn woken(bus: &Bus, wakes: &mut Subscriber) {
    tokio::select! {
        () = bus.wake.notified() => {}
        message = wakes.next() => if message.is_none() {
            // The subscription ended with its connection; polls go on.
            std::future::pending::<()>().await;
        },
    }
}
