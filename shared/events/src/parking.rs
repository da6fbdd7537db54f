//! Parked facts, which a consumer could not apply, per key: list, show, replay, discard.
//!
//! A parked key holds the fact that failed and every later one of that key, in version order. All
//! functions work on the database of the service that runs the consumer.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use tracing::Instrument as _;

use crate::consumer::{Consumer, HandlerError, inbox};
use crate::envelope::Fact;
use crate::error::Error;
use crate::settings::Settings;

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

/// The result of a replay.
#[derive(Debug)]
pub struct Replay {
    /// Facts applied.
    pub applied: u64,
    /// The failed version and its error; none if the key is no longer parked.
    pub stopped: Option<(i64, HandlerError)>,
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

/// Applies the parked facts of `key` in order, each in one transaction with its watermark, and
/// frees the key.
///
/// Stops at the first fact that fails again and records the new reason. A missing version stops it
/// too: only [`discard`] skips it. `handler_timeout_ms` of `settings` bounds each application.
pub async fn replay(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
) -> Result<Replay, Error> {
    let mut applied = 0;
    loop {
        match replay_first(pool, consumer, settings, key).await? {
            ReplayStep::Applied { last } => {
                applied += 1;
                if last {
                    let stopped = None;
                    return Ok(Replay { applied, stopped });
                }
            }
            // A concurrent replay has freed the key.
            ReplayStep::Empty if applied > 0 => {
                let stopped = None;
                return Ok(Replay { applied, stopped });
            }
            ReplayStep::Empty => return Err(not_parked(consumer, key)),
            ReplayStep::Failed { version, error } => {
                let stopped = Some((version, error));
                return Ok(Replay { applied, stopped });
            }
        }
    }
}

/// Discards the fact that stopped `key`, or the missing versions before it, and replays the rest.
pub async fn discard(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
) -> Result<Replay, Error> {
    let mut tx = pool.begin().await?;
    let position = inbox::position(&mut tx, &consumer.name, key).await?;
    let Some(first) = first(&mut tx, &consumer.name, key).await? else {
        return Err(not_parked(consumer, key));
    };
    let missing = first.version > position.version + 1;
    let given_up = if missing {
        first.version - 1
    } else {
        first.version
    };
    tracing::warn!(
        consumer = consumer.name,
        key,
        missing,
        from = position.version + 1,
        to = given_up,
        "facts discarded"
    );
    let last = finish(&mut tx, &consumer.name, &first, given_up).await?;
    tx.commit().await?;
    if last {
        return Ok(Replay {
            applied: 0,
            stopped: None,
        });
    }
    replay(pool, consumer, settings, key).await
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
    tx.commit().await
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

enum ReplayStep {
    Applied { last: bool },
    Failed { version: i64, error: HandlerError },
    Empty,
}

async fn replay_first(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
) -> Result<ReplayStep, Error> {
    let mut tx = pool.begin().await?;
    let position = inbox::position(&mut tx, &consumer.name, key).await?;
    let Some(first) = first(&mut tx, &consumer.name, key).await? else {
        return Ok(ReplayStep::Empty);
    };
    let version = first.version;
    if version > position.version + 1 {
        let missing = format!("version {} is missing", position.version + 1);
        let error = HandlerError::poison(missing);
        return Ok(ReplayStep::Failed { version, error });
    }
    let span = tracing::info_span!(
        "replay",
        otel.name = format!("replay {}", first.kind),
        key,
        version
    );
    if let Some(traceparent) = &first.traceparent {
        chassis::telemetry::set_parent(&span, traceparent);
    }
    let payload = Bytes::from(first.payload.clone());
    let handled = consumer
        .apply(&mut tx, &first.kind, payload, settings.handler_timeout())
        .instrument(span)
        .await;
    if let Err(error) = handled {
        tx.rollback().await?;
        blame(pool, consumer, key, version, &error).await?;
        return Ok(ReplayStep::Failed { version, error });
    }
    let last = finish(&mut tx, &consumer.name, &first, version).await?;
    tx.commit().await?;
    Ok(ReplayStep::Applied { last })
}

async fn first(
    tx: &mut PgConnection,
    consumer: &str,
    key: &str,
) -> Result<Option<ParkedHead>, sqlx::Error> {
    sqlx::query_as!(
        ParkedHead,
        "SELECT key, version, sequence, type AS kind, traceparent, payload
         FROM events.parked WHERE consumer = $1 AND key = $2 ORDER BY version LIMIT 1",
        consumer,
        key,
    )
    .fetch_optional(tx)
    .await
}

struct ParkedHead {
    key: String,
    version: i64,
    sequence: i64,
    kind: String,
    traceparent: Option<String>,
    payload: Vec<u8>,
}

/// Removes the parked facts up to `version`, moves the watermark there, and frees the key if none
/// is left (true).
async fn finish(
    tx: &mut PgConnection,
    consumer: &str,
    first: &ParkedHead,
    version: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "DELETE FROM events.parked WHERE consumer = $1 AND key = $2 AND version <= $3",
        consumer,
        first.key,
        version,
    )
    .execute(&mut *tx)
    .await?;
    let parked = sqlx::query_scalar!(
        r#"UPDATE events.inbox
           SET version = $3::bigint,
               sequence = CASE WHEN $3 = $5::bigint THEN $4 ELSE sequence END,
               parked = EXISTS (SELECT FROM events.parked WHERE consumer = $1 AND key = $2)
           WHERE consumer = $1 AND key = $2
           RETURNING parked"#,
        consumer,
        first.key,
        version,
        first.sequence,
        first.version,
    )
    .fetch_one(tx)
    .await?;
    Ok(!parked)
}

async fn blame(
    pool: &PgPool,
    consumer: &Consumer,
    key: &str,
    version: i64,
    error: &HandlerError,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE events.parked SET reason = $4, attempts = attempts + 1
         WHERE consumer = $1 AND key = $2 AND version = $3",
        consumer.name,
        key,
        version,
        error.chain().replace('\0', "\u{fffd}"),
    )
    .execute(pool)
    .await?;
    Ok(())
}

fn not_parked(consumer: &Consumer, key: &str) -> Error {
    Error::NotParked {
        consumer: consumer.name.clone(),
        key: key.to_owned(),
    }
}
