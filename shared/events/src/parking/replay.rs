//! Decisions about a parked key: replay its facts, rehearse that, discard one, skip what is
//! missing.

use bytes::Bytes;
use chassis::crash;
use facts::error::Error;
use facts::settings::Settings;
use sqlx::{PgConnection, PgPool};
use tracing::Instrument as _;

use crate::consumer::{Consumer, HandlerError, inbox};

/// Most facts of a rehearsal, which is one transaction.
const MAX_REHEARSED: u64 = 1000;

/// The result of a replay.
#[derive(Debug)]
pub struct Replay {
    /// Facts applied.
    pub applied: u64,
    /// The failed version and its error; none if the key is no longer parked.
    pub stopped: Option<(i64, HandlerError)>,
}

/// Applies the parked facts of `key` in order, each in one transaction with its watermark, and
/// frees the key.
///
/// Stops at the first fact that fails again and records the new reason. A missing version stops it
/// too: only [`skip`] goes past it. `handler_timeout_ms` of `settings` bounds each application.
///
/// # Errors
/// [`Error::NotParked`], or the database does not answer.
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
                    return Ok(Replay::whole(applied));
                }
            }
            // A concurrent replay has freed the key.
            ReplayStep::Empty if applied > 0 => return Ok(Replay::whole(applied)),
            ReplayStep::Empty => return Err(not_parked(consumer, key)),
            ReplayStep::Failed { version, error } => {
                let stopped = Some((version, error));
                return Ok(Replay { applied, stopped });
            }
        }
    }
}

/// Does what [`replay`] would do, up to 1000 facts, in a transaction that is rolled back.
///
/// # Errors
/// See [`replay`].
pub async fn rehearse(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
) -> Result<Replay, Error> {
    let mut tx = pool.begin().await?;
    let mut at = inbox::position(&mut tx, &consumer.name, key).await?.version;
    let mut applied = 0;
    let mut stopped = None;
    while applied < MAX_REHEARSED {
        let Some(first) = first(&mut tx, &consumer.name, key).await? else {
            break;
        };
        let version = first.version;
        if let Err(error) = apply(&mut tx, consumer, settings, at, &first).await {
            stopped = Some((version, error));
            break;
        }
        finish(&mut tx, &consumer.name, &first, version).await?;
        at = version;
        applied += 1;
    }
    tx.rollback().await?;
    match (applied, &stopped) {
        (0, None) => Err(not_parked(consumer, key)),
        _ => Ok(Replay { applied, stopped }),
    }
}

/// Discards the fact that stopped `key`, whose version is `version`, and replays the rest.
///
/// # Errors
/// [`Error::NotParked`]; [`Error::OtherVersion`] and [`Error::FactMissing`] change nothing.
pub async fn discard(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
    version: i64,
) -> Result<Replay, Error> {
    leave(pool, consumer, settings, key, version, Leaving::Fact).await
}

/// Skips the versions that are missing before `version`, the first parked one of `key`, and replays
/// from there.
///
/// # Errors
/// [`Error::NotParked`]; [`Error::OtherVersion`] and [`Error::NothingMissing`] change nothing.
pub async fn skip(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
    version: i64,
) -> Result<Replay, Error> {
    leave(pool, consumer, settings, key, version, Leaving::Missing).await
}

/// The part of a key that is never applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    Fact,
    Missing,
}

async fn leave(
    pool: &PgPool,
    consumer: &Consumer,
    settings: &Settings,
    key: &str,
    version: i64,
    leaving: Leaving,
) -> Result<Replay, Error> {
    let mut tx = pool.begin().await?;
    let position = inbox::position(&mut tx, &consumer.name, key).await?;
    let Some(first) = first(&mut tx, &consumer.name, key).await? else {
        return Err(not_parked(consumer, key));
    };
    let key = key.to_owned();
    if first.version != version {
        let first = first.version;
        return Err(Error::OtherVersion { key, first });
    }
    let next = position.version + 1;
    let last = match (leaving, next < version) {
        (Leaving::Fact, false) => version,
        (Leaving::Missing, true) => version - 1,
        (Leaving::Fact, true) => return Err(Error::FactMissing { key, version: next }),
        (Leaving::Missing, false) => return Err(Error::NothingMissing { key }),
    };
    tracing::warn!(
        consumer = consumer.name,
        key,
        missing = leaving == Leaving::Missing,
        from = next,
        to = last,
        "facts discarded"
    );
    let is_free = finish(&mut tx, &consumer.name, &first, last).await?;
    tx.commit().await?;
    match is_free {
        true => Ok(Replay::whole(0)),
        false => replay(pool, consumer, settings, &key).await,
    }
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
    if let Err(error) = apply(&mut tx, consumer, settings, position.version, &first).await {
        tx.rollback().await?;
        if version == position.version + 1 {
            blame(pool, consumer, key, version, &error).await?;
        }
        return Ok(ReplayStep::Failed { version, error });
    }
    let last = finish(&mut tx, &consumer.name, &first, version).await?;
    crash::point("events.replay.before_commit");
    tx.commit().await?;
    crash::point("events.replay.after_commit");
    Ok(ReplayStep::Applied { last })
}

/// Applies the first fact of a key whose watermark is `at`.
async fn apply(
    tx: &mut PgConnection,
    consumer: &Consumer,
    settings: &Settings,
    at: i64,
    first: &ParkedHead,
) -> Result<(), HandlerError> {
    let version = first.version;
    if version > at + 1 {
        return Err(HandlerError::poison(format!(
            "version {} is missing",
            at + 1
        )));
    }
    let span = tracing::info_span!(
        "replay",
        otel.name = format!("replay {}", first.kind),
        key = first.key,
        version
    );
    if let Some(traceparent) = &first.traceparent {
        chassis::telemetry::set_parent(&span, traceparent);
    }
    let payload = Bytes::from(first.payload.clone());
    consumer
        .apply(tx, &first.kind, payload, settings.handler_timeout())
        .instrument(span)
        .await
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

// === impl Replay ===

impl Replay {
    fn whole(applied: u64) -> Self {
        Self {
            applied,
            stopped: None,
        }
    }
}
