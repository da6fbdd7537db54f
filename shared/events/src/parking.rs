//! Parked facts, which a consumer could not apply, per key: list, show, replay, discard, skip.
//!
//! A parked key holds the fact that failed and every later one of that key, in version order. All
//! functions work on the database of the service that runs the consumer.

mod replay;

use chassis::crash;
use chrono::{DateTime, Utc};
use facts::envelope::Fact;
use facts::error::Error;
use sqlx::{PgConnection, PgPool};

use crate::consumer::{Consumer, inbox};

pub use replay::{Replay, discard, rehearse, replay, skip};

/// A parked key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    /// Name of the consumer.
    pub consumer: String,
    /// Context of the facts.
    pub context: String,
    /// Kind of aggregate.
    pub aggregate: String,
    /// The aggregate.
    pub key: String,
    /// Why the first fact could not be applied.
    pub reason: String,
    /// Failed attempts.
    pub attempts: i32,
    /// Version of the first fact.
    pub version: i64,
    /// Full message name of the first fact.
    pub kind: String,
    /// Parked facts, the first one included.
    pub count: i64,
    /// When the key was parked.
    pub since: DateTime<Utc>,
}

/// One fact of a parked key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedFact {
    /// Position in the aggregate's chain.
    pub version: i64,
    /// Sequence in the context's stream.
    pub sequence: i64,
    /// Full message name.
    pub kind: String,
    /// W3C trace context of its origin.
    pub traceparent: Option<String>,
    /// The encoded message.
    pub payload: Vec<u8>,
    /// Why it could not be applied; none for a later fact that waits.
    pub reason: Option<String>,
    /// Failed attempts.
    pub attempts: i32,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
}

/// Returns the parked keys of `consumer`, or of all consumers, the longest parked first; at most
/// `limit`.
pub async fn list(
    pool: &PgPool,
    consumer: Option<&str>,
    limit: u32,
) -> Result<Vec<ParkedKey>, Error> {
    let keys = sqlx::query_as!(
        ParkedKey,
        r#"SELECT first.consumer, first.context, first.aggregate, first.key,
                  coalesce(first.reason, '') AS "reason!", first.attempts, first.version,
                  first.type AS kind, first.parked_at AS since,
                  (SELECT count(*) FROM events.parked AS waiting
                   WHERE waiting.consumer = first.consumer AND waiting.key = first.key) AS "count!"
           FROM events.parked AS first
           WHERE ($1::text IS NULL OR first.consumer = $1)
             AND NOT EXISTS (SELECT FROM events.parked AS earlier
                             WHERE earlier.consumer = first.consumer AND earlier.key = first.key
                               AND earlier.version < first.version)
           ORDER BY first.parked_at, first.consumer, first.key
           LIMIT $2"#,
        consumer,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    Ok(keys)
}

/// Returns the facts of one parked key in version order; at most `limit`, none if the key is not
/// parked.
pub async fn show(
    pool: &PgPool,
    consumer: &str,
    key: &str,
    limit: u32,
) -> Result<Vec<ParkedFact>, Error> {
    let facts = sqlx::query_as!(
        ParkedFact,
        "SELECT version, sequence, type AS kind, traceparent, payload, reason, attempts, parked_at
         FROM events.parked WHERE consumer = $1 AND key = $2 ORDER BY version LIMIT $3",
        consumer,
        key,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    Ok(facts)
}

/// Returns how many keys of `consumer` are parked.
pub async fn count(pool: &PgPool, consumer: &str) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT key) AS "count!" FROM events.parked WHERE consumer = $1"#,
        consumer,
    )
    .fetch_one(pool)
    .await?;
    Ok(count)
}

/// Parks `fact` and its key. No effect if it is settled already.
pub(crate) async fn park(
    pool: &PgPool,
    consumer: &Consumer,
    fact: &Fact,
    reason: &str,
    attempts: u32,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let position = inbox::position(&mut tx, &consumer.name, &fact.key).await?;
    if position.version >= fact.version {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO events.inbox (consumer, key, version, sequence, parked) VALUES ($1, $2, 0, 0, true)
         ON CONFLICT (consumer, key) DO UPDATE SET parked = true",
        consumer.name,
        fact.key,
    )
    .execute(&mut *tx)
    .await?;
    append(&mut tx, consumer, fact, Some(reason), attempts).await?;
    crash::point("events.consumer.before_park");
    tx.commit().await?;
    crash::point("events.consumer.after_park");
    Ok(())
}

/// Adds `fact` to its parked key. No effect if it is there already.
pub(crate) async fn append(
    tx: &mut PgConnection,
    consumer: &Consumer,
    fact: &Fact,
    reason: Option<&str>,
    attempts: u32,
) -> Result<(), sqlx::Error> {
    // Postgres text holds no NUL, and a reason may quote anything.
    let reason = reason.map(|reason| reason.replace('\0', "\u{fffd}"));
    sqlx::query!(
        "INSERT INTO events.parked
             (consumer, key, version, context, aggregate, sequence, type, traceparent, payload, reason, attempts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (consumer, key, version) DO NOTHING",
        consumer.name,
        fact.key,
        fact.version,
        consumer.context,
        consumer.aggregate,
        fact.sequence.cast_signed(),
        fact.kind,
        fact.traceparent,
        fact.payload.as_ref(),
        reason,
        attempts.cast_signed(),
    )
    .execute(tx)
    .await?;
    Ok(())
}
