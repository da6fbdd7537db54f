//! Publishes again what a stream has lost that went back in time, or was made anew.

use std::sync::atomic::Ordering;

use sqlx::{Connection as _, PgConnection};
use store::columns;

use crate::bus::Bus;
use crate::envelope::subject;
use crate::error::Error;

use super::Relay;
use super::lease::Lease;
use super::outbox::{self, Tail};

/// Most keys that are put back in one transaction.
const KEYS: u16 = 1000;

/// A key whose last message is beyond the end of its stream.
struct LostTail {
    aggregate: String,
    key: String,
    subject: String,
    version: i64,
}

/// Returns how often the process has connected to the broker: another server, or other data, may
/// be there since the last time.
pub(super) fn connects(bus: &Bus) -> u64 {
    bus.client.statistics().connects.load(Ordering::Relaxed)
}

// === impl Relay ===

impl Relay<'_> {
    /// Compares the ends of all streams with the record of this database. A stream that ends
    /// earlier has gone back: its facts beyond that are taken from the archive and published again.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or database or stream do not answer.
    pub(super) async fn restore_streams(
        &mut self,
        connection: &mut PgConnection,
        lease: &mut Lease,
    ) -> Result<(), Error> {
        self.publishers.clear();
        for (context, recorded) in recorded_ends(connection).await? {
            let last = self.publisher(&context).await?.last_sequence().await?;
            if last >= recorded {
                continue;
            }
            let mut facts = 0;
            loop {
                let lost = lost_tails(connection, &context, last).await?;
                if lost.is_empty() {
                    break;
                }
                facts += self.put_back(connection, lease, &context, &lost).await?;
            }
            tracing::error!(
                context,
                recorded,
                last,
                facts,
                "the stream has lost messages: its facts are published again from the archive"
            );
        }
        Ok(())
    }

    /// Moves the facts of these keys that their stream has lost from the archive to the outbox.
    async fn put_back(
        &mut self,
        connection: &mut PgConnection,
        lease: &mut Lease,
        context: &str,
        lost: &[LostTail],
    ) -> Result<u64, Error> {
        let publisher = self.publisher(context).await?;
        let mut ends = Vec::with_capacity(lost.len());
        for tail in lost {
            let end = publisher.end(&tail.subject).await?;
            ends.push(end.map_or(Tail::NONE, |end| Tail {
                sequence: end.sequence,
                // A message that is no fact stops the key as soon as it publishes.
                version: end.version.unwrap_or(tail.version),
            }));
        }
        let mut tx = connection.begin().await?;
        lease.renew(&mut tx).await?;
        for (tail, end) in lost.iter().zip(&ends) {
            outbox::set_tail(&mut tx, &tail.subject, *end).await?;
        }
        let facts = requeue(&mut tx, context, lost, &ends).await?;
        tx.commit().await?;
        Ok(facts)
    }
}

/// Reads the greatest sequence that each context's stream has acknowledged.
async fn recorded_ends(connection: &mut PgConnection) -> Result<Vec<(String, u64)>, Error> {
    let ends = sqlx::query!(
        r#"SELECT split_part(subject, '.', 2) AS "context!", max(sequence) AS "sequence!"
           FROM events.tail GROUP BY 1"#
    )
    .fetch_all(connection)
    .await?;
    let ends = ends.into_iter();
    let end = ends.map(|row| (subject::decode(&row.context), row.sequence.unsigned_abs()));
    Ok(end.collect())
}

async fn lost_tails(
    connection: &mut PgConnection,
    context: &str,
    last: u64,
) -> Result<Vec<LostTail>, Error> {
    let rows = sqlx::query!(
        "SELECT subject, version FROM events.tail
         WHERE starts_with(subject, $1) AND sequence > $2 ORDER BY subject LIMIT $3",
        subject::context_prefix(context),
        last.cast_signed(),
        i64::from(KEYS),
    )
    .fetch_all(connection)
    .await?;
    let tails = rows.into_iter().filter_map(|row| {
        Some(LostTail {
            aggregate: subject::decode(row.subject.split('.').nth(2)?),
            key: subject::key(&row.subject)?,
            subject: row.subject,
            version: row.version,
        })
    });
    Ok(tails.collect())
}

/// Moves the archived facts of `lost` that come after the `ends` of their subjects.
async fn requeue(
    tx: &mut PgConnection,
    context: &str,
    lost: &[LostTail],
    ends: &[Tail],
) -> Result<u64, Error> {
    let places: Vec<_> = lost.iter().zip(ends).collect();
    let (aggregates, keys, versions) = columns!(
        places,
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
