//! Publishes again what a stream has lost that went back in time, or was made anew.

use std::sync::atomic::Ordering;

use facts::error::Error;
use facts::subject;
use sqlx::{Connection as _, PgConnection};
use store::columns;

use crate::bus::Bus;

use super::Relay;
use super::lease::Lease;
use super::outbox::{self, Tail};

/// Most keys that are put back in one transaction.
const KEYS: u16 = 1000;

/// The recorded end of a subject.
struct RecordedTail {
    aggregate: String,
    key: String,
    subject: String,
    sequence: u64,
    version: i64,
}

/// Returns how often the process has connected to the broker: another server, or other data, may
/// be there since the last time.
pub(super) fn connects(bus: &Bus) -> u64 {
    bus.client.statistics().connects.load(Ordering::Relaxed)
}

// === impl Relay ===

impl Relay<'_> {
    /// Compares the streams with the record of this database. One that does not have its newest
    /// messages has gone back: its facts after that are taken from the archive and published again.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or database or stream do not answer.
    pub(super) async fn restore_streams(
        &mut self,
        connection: &mut PgConnection,
        lease: &mut Lease,
    ) -> Result<(), Error> {
        self.publishers.clear();
        for context in contexts(connection).await? {
            // What left the stream by its limits is not lost.
            let first = self.publisher(&context).await?.first_sequence().await?;
            let (mut before, mut facts) = (u64::MAX, 0);
            loop {
                let newest = newest_tails(connection, &context, first, before).await?;
                let lost = self.lost(&context, &newest).await?;
                let Some((oldest, _)) = lost.last() else {
                    break;
                };
                before = oldest.sequence;
                facts += put_back(connection, lease, &context, &lost).await?;
                if lost.len() < newest.len() {
                    break;
                }
            }
            if before < u64::MAX {
                tracing::error!(
                    context,
                    from = before,
                    facts,
                    "the stream has lost messages: their facts are published again from the archive"
                );
            }
        }
        Ok(())
    }

    /// Returns those of `tails`, the newest first, that their stream does not have, with the ends
    /// of their subjects. Those before one that it has are there too.
    async fn lost<'t>(
        &mut self,
        context: &str,
        tails: &'t [RecordedTail],
    ) -> Result<Vec<(&'t RecordedTail, Tail)>, Error> {
        let publisher = self.publisher(context).await?;
        let mut lost = Vec::new();
        for tail in tails {
            let end = publisher.end(&tail.subject).await?;
            if end
                .as_ref()
                .is_some_and(|end| end.sequence >= tail.sequence)
            {
                break;
            }
            let end = end.map_or(Tail::NONE, |end| Tail {
                sequence: end.sequence,
                // A message that is no fact stops the key as soon as it publishes.
                version: end.version.unwrap_or(tail.version),
            });
            lost.push((tail, end));
        }
        Ok(lost)
    }
}

/// Moves the facts of these keys that their stream has lost from the archive to the outbox.
async fn put_back(
    connection: &mut PgConnection,
    lease: &mut Lease,
    context: &str,
    lost: &[(&RecordedTail, Tail)],
) -> Result<u64, Error> {
    let mut tx = connection.begin().await?;
    lease.renew(&mut tx).await?;
    for (tail, end) in lost {
        outbox::set_tail(&mut tx, &tail.subject, *end).await?;
    }
    let facts = requeue(&mut tx, context, lost).await?;
    tx.commit().await?;
    Ok(facts)
}

async fn contexts(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let tokens = sqlx::query_scalar!(
        r#"SELECT DISTINCT split_part(subject, '.', 2) AS "context!" FROM events.tail"#
    )
    .fetch_all(connection)
    .await?;
    Ok(tokens.iter().map(|token| subject::decode(token)).collect())
}

/// Reads the recorded ends of subjects, the newest first, from the sequence `first` on.
async fn newest_tails(
    connection: &mut PgConnection,
    context: &str,
    first: u64,
    before: u64,
) -> Result<Vec<RecordedTail>, Error> {
    let rows = sqlx::query!(
        "SELECT subject, sequence, version FROM events.tail
         WHERE starts_with(subject, $1) AND sequence BETWEEN $2 AND $3
         ORDER BY sequence DESC LIMIT $4",
        subject::context_prefix(context),
        first.max(1).cast_signed(),
        i64::try_from(before - 1).unwrap_or(i64::MAX),
        i64::from(KEYS),
    )
    .fetch_all(connection)
    .await?;
    let tails = rows.into_iter().filter_map(|row| {
        Some(RecordedTail {
            aggregate: subject::decode(row.subject.split('.').nth(2)?),
            key: subject::key(&row.subject)?,
            subject: row.subject,
            sequence: row.sequence.unsigned_abs(),
            version: row.version,
        })
    });
    Ok(tails.collect())
}

/// Moves the archived facts of `lost` that come after the ends of their subjects.
async fn requeue(
    tx: &mut PgConnection,
    context: &str,
    lost: &[(&RecordedTail, Tail)],
) -> Result<u64, Error> {
    let (aggregates, keys, versions) = columns!(
        lost,
        (tail, end) => tail.aggregate.clone(),
        tail.key.clone(),
        end.version,
    );
    let facts = sqlx::query!(
        "WITH ends AS (
             SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[]) AS ends (aggregate, key, version)
         ), lost AS (
             DELETE FROM events.archive AS archive USING ends
             WHERE archive.context = $1 AND archive.aggregate = ends.aggregate
               AND archive.key = ends.key AND archive.version > ends.version
             RETURNING archive.id, lane, context, archive.aggregate, archive.key, archive.version, type,
                       traceparent, payload, created_at, fact_id
         )
         INSERT INTO events.outbox
             (id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id)
         OVERRIDING SYSTEM VALUE SELECT * FROM lost",
        context,
        &aggregates,
        &keys,
        &versions,
    )
    .execute(tx)
    .await?;
    Ok(facts.rows_affected())
}
