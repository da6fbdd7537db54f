//! Moves committed facts from the outbox to their streams, in order per key, and removes them once
//! acknowledged.

mod outbox;
mod publisher;
mod single;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use rpc::backoff::Backoff;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::bus::stream::{self, Role};
use crate::envelope::OutboxRow;
use crate::error::Error;

use outbox::BatchProgress;
use publisher::{PublishError, Publisher};

/// Pause between attempts to own the outbox: the longest gap after an owner dies.
const STANDBY_POLL: Duration = Duration::from_millis(500);

/// How long a lane stays stopped after a foreign message in its stream, before it is tried again.
const STOPPED_LANE_REST: Duration = Duration::from_secs(60);

/// Pauses after a failed session.
const RETRY: Backoff = Backoff::full_jitter(Duration::from_millis(100), Duration::from_secs(2));

/// Relays until `shutdown`. Any failure ends the session; the next one starts from the state of the
/// database.
pub(crate) async fn run(bus: &Bus, shutdown: &CancellationToken) -> Result<(), Error> {
    let mut relay = Relay {
        bus,
        publishers: HashMap::new(),
        stopped: HashMap::new(),
        failures: 0,
    };
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ended = relay.session() => ended,
        };
        let error = match ended {
            Err(error @ Error::Mismatch { .. }) => return Err(error),
            Err(error) => error,
            Ok(never) => match never {},
        };
        relay.failures += 1;
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
    /// Lanes with a foreign message in their stream, and when it was found.
    stopped: HashMap<i16, Instant>,
    /// Failures in a row.
    failures: u32,
}

// === impl Relay ===

impl Relay<'_> {
    /// Owns the outbox for as long as one database connection lives. The lock and all work use that
    /// connection, so an owner that lost the lock cannot go on working.
    async fn session(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut connection = self.bus.pool.acquire().await?.detach();
        let ended = self.relay(&mut connection).await;
        // Releases the lock at once; the server may notice a dropped connection later.
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "relay connection not closed");
        }
        ended
    }

    async fn relay(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<std::convert::Infallible, Error> {
        while !outbox::try_own(connection).await? {
            tokio::time::sleep(STANDBY_POLL).await;
        }
        tracing::info!("relay owns the outbox");
        let settings = &self.bus.settings;
        let shortest = Duration::from_millis(settings.relay_poll_min_ms);
        let longest = Duration::from_millis(settings.relay_poll_max_ms);
        let mut pause = shortest;
        loop {
            self.stopped
                .retain(|_, since| since.elapsed() < STOPPED_LANE_REST);
            let stopped: Vec<i16> = self.stopped.keys().copied().collect();
            let rows = outbox::read(connection, &stopped, settings.relay_batch_rows).await?;
            if rows.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                    () = self.bus.wake.notified() => pause = shortest,
                }
                continue;
            }
            self.drain(connection, rows).await?;
            self.failures = 0;
            pause = shortest;
        }
    }

    /// Publishes `rows`, one batch per context, and removes those that the stream holds.
    async fn drain(
        &mut self,
        connection: &mut PgConnection,
        rows: Vec<OutboxRow>,
    ) -> Result<(), Error> {
        let mut by_context: BTreeMap<String, Vec<OutboxRow>> = BTreeMap::new();
        for row in rows {
            by_context.entry(row.context.clone()).or_default().push(row);
        }
        for (context, rows) in by_context {
            let subjects: Vec<String> = rows.iter().map(OutboxRow::subject).collect();
            let tails = outbox::tails(connection, &subjects).await?;
            let mut progress = BatchProgress::new(tails);
            chassis::crash::point("events.relay.before_publish");
            let published = self.publish(&context, &rows, &mut progress).await;
            if published.is_ok() {
                chassis::crash::point("events.relay.after_publish");
            }
            // Published rows are recorded even if a later row failed.
            outbox::forget(connection, &progress).await?;
            published?;
        }
        Ok(())
    }

    async fn publish(
        &mut self,
        context: &str,
        rows: &[OutboxRow],
        progress: &mut BatchProgress,
    ) -> Result<(), Error> {
        if !self.publishers.contains_key(context) {
            let stream: Stream = stream::declare(self.bus, context, Role::Owner).await?;
            let publisher = Publisher::new(self.bus.client.clone(), stream);
            self.publishers.insert(context.to_owned(), publisher);
        }
        let publisher = &self.publishers[context];
        let pending = progress.pending(rows);
        match publisher.batch(&pending).await {
            Ok(last) => {
                let first = last + 1 - pending.len() as u64;
                for (sequence, message) in (first..).zip(&pending) {
                    progress.published(message.row, &message.subject, sequence);
                }
                Ok(())
            }
            // A message of the batch is in the stream already, or a subject has later messages:
            // check one by one.
            Err(PublishError::Fenced | PublishError::Repeated) => {
                single::publish(publisher, rows, progress, &mut self.stopped).await
            }
            Err(PublishError::Failed(error)) => {
                // The server may have lost the stream: declare it again.
                self.publishers.remove(context);
                Err(error)
            }
        }
    }
}
