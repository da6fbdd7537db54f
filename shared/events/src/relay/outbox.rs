//! The relay's statements: rows, the acknowledged ends of subjects, and the archive.

use std::collections::HashMap;
use std::time::Duration;

use chassis::crash;
use facts::envelope::OutboxRow;
use facts::error::Error;
use facts::settings::interval;
use facts::subject;
use sqlx::{Connection as _, PgConnection};
use store::columns;

use crate::stopped::{self, Cause, Stop};

use super::lease::Lease;
use super::publisher::{Message, Predecessor};

/// Most payload bytes in one batch: bounds the memory of relay and server.
const MAX_BATCH_BYTES: i64 = 4 * 1024 * 1024;

/// Most rows of the archive deleted at once: the relay publishes between two such steps.
pub(super) const PRUNED_ROWS: u16 = 2000;

/// The last message of a subject that the stream acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) sequence: u64,
    pub(super) version: i64,
}

/// The known ends of subjects, the rows that are done, and the keys to stop.
#[derive(Debug)]
pub(super) struct BatchProgress<'r> {
    tails: HashMap<String, Tail>,
    done: Vec<i64>,
    /// By subject.
    stopped: HashMap<String, Stop<'r>>,
}

/// Reads the oldest rows with ids above `low` whose keys are not stopped: at most `limit`, and at
/// least one or as many as fit into a batch.
pub(super) async fn read(
    connection: &mut PgConnection,
    low: i64,
    limit: u16,
) -> Result<Vec<OutboxRow>, Error> {
    let rows = sqlx::query_as!(
        OutboxRow,
        r#"SELECT id, context, aggregate, key, version, type AS kind, traceparent, payload, created_at, fact_id
           FROM (
               SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
               FROM (
                   SELECT * FROM events.outbox AS outbox
                   WHERE id > $3
                     AND NOT EXISTS (SELECT FROM events.stopped AS stopped
                                     WHERE stopped.context = outbox.context
                                       AND stopped.aggregate = outbox.aggregate
                                       AND stopped.key = outbox.key)
                   ORDER BY id LIMIT $1
               ) AS oldest
           ) AS measured
           WHERE bytes_before < $2
           ORDER BY id"#,
        i64::from(limit),
        MAX_BATCH_BYTES,
        low,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

pub(super) async fn tails(
    connection: &mut PgConnection,
    subjects: &[String],
) -> Result<HashMap<String, Tail>, Error> {
    let rows = sqlx::query!(
        "SELECT subject, sequence, version FROM events.tail WHERE subject = ANY($1)",
        subjects,
    )
    .fetch_all(connection)
    .await?;
    let tail = |sequence: i64, version| Tail {
        sequence: sequence.unsigned_abs(),
        version,
    };
    Ok(rows
        .into_iter()
        .map(|row| (row.subject, tail(row.sequence, row.version)))
        .collect())
}

/// Moves the rows that are done to the archive, records the ends of their subjects and the stopped
/// keys, and renews the lease, in one transaction: a relay that lost the lease changes nothing.
/// Returns how many rows are done.
///
/// # Errors
/// [`Error::LeaseLost`], or the database does not answer.
pub(super) async fn record(
    connection: &mut PgConnection,
    lease: &mut Lease,
    progress: &BatchProgress<'_>,
) -> Result<usize, Error> {
    let mut tx = connection.begin().await?;
    lease.renew(&mut tx).await?;
    for stop in progress.stopped.values() {
        stopped::stop(&mut tx, stop).await?;
    }
    if !progress.done.is_empty() {
        archive(&mut tx, progress).await?;
    }
    crash::point("events.relay.before_record");
    tx.commit().await?;
    crash::point("events.relay.after_record");
    Ok(progress.done.len())
}

async fn archive(tx: &mut PgConnection, progress: &BatchProgress<'_>) -> Result<(), Error> {
    let (subjects, sequences, versions) = columns!(
        progress.tails,
        (subject, tail) => subject.clone(),
        tail.sequence.cast_signed(),
        tail.version,
    );
    sqlx::query!(
        "WITH done AS (
             DELETE FROM events.outbox WHERE id = ANY($1)
             RETURNING id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id
         ), archived AS (
             INSERT INTO events.archive
                 (id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id)
             SELECT * FROM done
         )
         INSERT INTO events.tail AS tail (subject, sequence, version)
         SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (subject) DO UPDATE SET sequence = excluded.sequence, version = excluded.version
         WHERE excluded.version >= tail.version",
        &progress.done,
        &subjects,
        &sequences,
        &versions,
    )
    .execute(&mut *tx)
    .await?;
    if crash::skips("events.archive") {
        sqlx::query("DELETE FROM events.archive")
            .execute(tx)
            .await?;
    }
    Ok(())
}

/// Records that the stream's `subject` ends at `tail`, whatever was known before.
pub(super) async fn set_tail(
    tx: &mut PgConnection,
    subject: &str,
    tail: Tail,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO events.tail (subject, sequence, version) VALUES ($1, $2, $3)
         ON CONFLICT (subject) DO UPDATE SET sequence = excluded.sequence, version = excluded.version",
        subject,
        tail.sequence.cast_signed(),
        tail.version,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes facts that have been in the archive for longer than `keep`, the oldest first, and the
/// ends of the subjects that have had none since; returns how many facts, at most [`PRUNED_ROWS`].
///
/// The next fact of such a subject finds an empty one, or asks the stream.
pub(super) async fn prune(connection: &mut PgConnection, keep: Duration) -> Result<usize, Error> {
    let mut tx = connection.begin().await?;
    let pruned = sqlx::query!(
        "DELETE FROM events.archive WHERE id IN (
             SELECT id FROM events.archive WHERE archived_at < now() - $1::interval LIMIT $2
         )
         RETURNING context, aggregate, key, version",
        interval(keep),
        i64::from(PRUNED_ROWS),
    )
    .fetch_all(&mut *tx)
    .await?;
    let (subjects, versions) = columns!(
        pruned,
        row => subject::of(&row.context, &row.aggregate, &row.key),
        row.version,
    );
    sqlx::query!(
        "DELETE FROM events.tail AS tail
         USING unnest($1::text[], $2::bigint[]) AS pruned (subject, version)
         WHERE tail.subject = pruned.subject AND tail.version = pruned.version",
        &subjects,
        &versions,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.len())
}

// === impl Tail ===

impl Tail {
    /// The end of a subject without known messages.
    pub(super) const NONE: Self = Self {
        sequence: 0,
        version: 0,
    };
}

// === impl BatchProgress ===

impl<'r> BatchProgress<'r> {
    pub(super) fn new(tails: HashMap<String, Tail>) -> Self {
        Self {
            tails,
            done: Vec::new(),
            stopped: HashMap::new(),
        }
    }

    pub(super) fn tail(&self, subject: &str) -> Tail {
        self.tails.get(subject).copied().unwrap_or(Tail::NONE)
    }

    /// Records that the stream holds `row` at `sequence`.
    pub(super) fn published(&mut self, row: &OutboxRow, subject: &str, sequence: u64) {
        let version = row.version;
        self.tails
            .insert(subject.to_owned(), Tail { sequence, version });
        self.done.push(row.id);
    }

    /// Records that the key of `subject` stops at `row`: its later rows are kept.
    pub(super) fn stopped(
        &mut self,
        subject: &str,
        row: &'r OutboxRow,
        cause: Cause,
        reason: String,
    ) {
        let stop = Stop { row, cause, reason };
        self.stopped.insert(subject.to_owned(), stop);
    }

    pub(super) fn is_stopped(&self, subject: &str) -> bool {
        self.stopped.contains_key(subject)
    }

    /// Marks the rows done that the stream is known to hold, and returns messages for the others.
    /// The first one of a subject carries the sequence that the subject must end at.
    pub(super) fn pending<'a>(&mut self, rows: &'a [OutboxRow]) -> Vec<Message<'a>> {
        let mut pending: Vec<Message<'a>> = Vec::with_capacity(rows.len());
        // The place of each subject's last message.
        let mut places: HashMap<String, usize> = HashMap::new();
        for row in rows {
            let subject = row.subject();
            let tail = self.tail(&subject);
            if row.version <= tail.version {
                self.done.push(row.id);
                continue;
            }
            let place = pending.len();
            let (expected, predecessor) = match places.insert(subject.clone(), place) {
                None => (Some(tail.sequence), Predecessor::At(tail.sequence)),
                Some(earlier) => (None, Predecessor::Before(place - earlier)),
            };
            pending.push(Message {
                row,
                subject,
                expected,
                predecessor,
            });
        }
        pending
    }
}
