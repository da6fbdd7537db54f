//! The relay's statements: ownership, rows, and the acknowledged ends of subjects.

use std::collections::HashMap;

use sqlx::PgConnection;
use store::columns;

use crate::envelope::OutboxRow;
use crate::error::Error;

use super::publisher::Message;

/// Key of the advisory lock of a database's outbox: the ASCII letters "evtrelay".
const LOCK: i64 = 0x6576_7472_656c_6179;

/// Most payload bytes in one batch: bounds the memory of relay and server.
const MAX_BATCH_BYTES: i64 = 4 * 1024 * 1024;

/// The last message of a subject that the stream acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) sequence: u64,
    pub(super) version: i64,
}

/// The known ends of subjects, and the rows that are done.
#[derive(Debug)]
pub(super) struct BatchProgress {
    tails: HashMap<String, Tail>,
    done: Vec<i64>,
}

/// Acquires the outbox for the life of the connection; returns false while another relay owns it.
pub(super) async fn try_own(connection: &mut PgConnection) -> Result<bool, Error> {
    let owned = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "owned!""#, LOCK)
        .fetch_one(connection)
        .await?;
    Ok(owned)
}

/// Reads the oldest rows outside of `stopped` lanes: at most `limit`, and at least one or as many
/// as fit into a batch.
pub(super) async fn read(
    connection: &mut PgConnection,
    stopped: &[i16],
    limit: u16,
) -> Result<Vec<OutboxRow>, Error> {
    let rows = sqlx::query_as!(
        OutboxRow,
        r#"SELECT id, lane, context, aggregate, key, version, type AS kind, traceparent, payload, created_at
           FROM (
               SELECT *, sum(octet_length(payload)) OVER (ORDER BY id) - octet_length(payload) AS bytes_before
               FROM (
                   SELECT * FROM events.outbox WHERE lane <> ALL($1) ORDER BY id LIMIT $2
               ) AS oldest
           ) AS measured
           WHERE bytes_before < $3
           ORDER BY id"#,
        stopped,
        i64::from(limit),
        MAX_BATCH_BYTES,
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

/// Removes the rows that are done and records the ends of their subjects, in one statement.
pub(super) async fn forget(
    connection: &mut PgConnection,
    progress: &BatchProgress,
) -> Result<(), Error> {
    if progress.done.is_empty() {
        return Ok(());
    }
    let (subjects, sequences, versions) = columns!(
        progress.tails,
        (subject, tail) => subject.clone(),
        tail.sequence.cast_signed(),
        tail.version,
    );
    sqlx::query!(
        "WITH done AS (DELETE FROM events.outbox WHERE id = ANY($1))
         INSERT INTO events.tail AS tail (subject, sequence, version)
         SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (subject) DO UPDATE SET sequence = excluded.sequence, version = excluded.version
         WHERE excluded.version > tail.version",
        &progress.done,
        &subjects,
        &sequences,
        &versions,
    )
    .execute(connection)
    .await?;
    Ok(())
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

impl BatchProgress {
    pub(super) fn new(tails: HashMap<String, Tail>) -> Self {
        Self {
            tails,
            done: Vec::new(),
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

    /// Records that the stream holds `row` and ends at `tail`, which is that row or a later one.
    pub(super) fn overtaken(&mut self, row: &OutboxRow, subject: &str, tail: Tail) {
        self.tails.insert(subject.to_owned(), tail);
        self.done.push(row.id);
    }

    /// Marks the rows done that the stream is known to hold, and returns messages for the others.
    /// The first one of a subject carries the sequence that the subject must end at.
    pub(super) fn pending<'a>(&mut self, rows: &'a [OutboxRow]) -> Vec<Message<'a>> {
        let mut pending: Vec<Message<'a>> = Vec::with_capacity(rows.len());
        let mut seen = std::collections::HashSet::new();
        for row in rows {
            let subject = row.subject();
            let tail = self.tail(&subject);
            if row.version <= tail.version {
                self.done.push(row.id);
                continue;
            }
            let expected = seen.insert(subject.clone()).then_some(tail.sequence);
            pending.push(Message {
                row,
                subject,
                expected,
            });
        }
        pending
    }
}
