//! Keys whose facts the relay does not publish, and the decisions of an operator about them.
//!
//! A key is stopped, alone, when its stream disagrees with the outbox, as after a restore of one of
//! the two, or refuses a fact. Its facts stay in the outbox, later ones join them. All functions
//! work on the database of the service that publishes.

use chrono::{DateTime, Utc};
use facts::envelope::OutboxRow;
use facts::error::Error;
use sqlx::{PgConnection, PgPool};

/// A key whose facts are not published, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedKey {
    /// Context of the facts.
    pub context: String,
    /// Kind of aggregate.
    pub aggregate: String,
    /// The aggregate.
    pub key: String,
    /// Version of the first fact that waits.
    pub version: i64,
    /// `forked`, `foreign` or `refused`; see [`Cause`].
    pub cause: String,
    /// Information for the operator.
    pub reason: String,
    /// Facts that wait.
    pub waiting: i64,
    /// When the key was stopped.
    pub since: DateTime<Utc>,
    /// The operator's decision, if the relay has yet to carry it out.
    pub resolution: Option<String>,
}

/// A fact of a stopped key, which waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedFact {
    /// Kind of aggregate.
    pub aggregate: String,
    /// Position in the aggregate's chain.
    pub version: i64,
    /// Full message name.
    pub kind: String,
    /// The encoded message.
    pub payload: Vec<u8>,
    /// When it was published.
    pub created_at: DateTime<Utc>,
}

/// Why a key is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The stream holds another fact in the place of this one: database or stream went back in
    /// time.
    Forked,
    /// The subject ends with a message that no outbox wrote.
    Foreign,
    /// The server refuses the fact, for example for its size.
    Refused,
}

/// The decision of an operator about a stopped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Publishes again, after the cause has been mended.
    Retry,
    /// Accepts what the stream holds, and appends the waiting facts to it with new versions.
    Renumber,
    /// Drops the first waiting fact; those behind it move up.
    Discard,
}

// === impl Cause ===

impl Cause {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::Foreign => "foreign",
            Self::Refused => "refused",
        }
    }
}

// === impl Resolution ===

impl Resolution {
    /// Returns its name, `retry`, `renumber` or `discard`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Renumber => "renumber",
            Self::Discard => "discard",
        }
    }

    /// Returns the resolution with this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Retry, Self::Renumber, Self::Discard];
        all.into_iter().find(|resolution| resolution.name() == name)
    }
}

/// Returns the stopped keys, the longest stopped first; at most `limit`.
///
/// # Errors
/// The database does not answer.
pub async fn list(pool: &PgPool, limit: u32) -> Result<Vec<StoppedKey>, Error> {
    let keys = sqlx::query_as!(
        StoppedKey,
        r#"SELECT context, aggregate, key, version, cause, reason, stopped_at AS since, resolution,
                  (SELECT count(*) FROM events.outbox AS waiting
                   WHERE waiting.context = stopped.context AND waiting.aggregate = stopped.aggregate
                     AND waiting.key = stopped.key) AS "waiting!"
           FROM events.stopped AS stopped
           ORDER BY stopped_at, context, aggregate, key
           LIMIT $1"#,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    Ok(keys)
}

/// Returns the waiting facts of the stopped key `key` of `context` in version order; at most
/// `limit`, none if the key is not stopped.
///
/// # Errors
/// The database does not answer.
pub async fn show(
    pool: &PgPool,
    context: &str,
    key: &str,
    limit: u32,
) -> Result<Vec<StoppedFact>, Error> {
    let facts = sqlx::query_as!(
        StoppedFact,
        "SELECT aggregate, outbox.version, type AS kind, payload, created_at
         FROM events.outbox JOIN events.stopped USING (context, aggregate, key)
         WHERE context = $1 AND key = $2
         ORDER BY aggregate, outbox.version LIMIT $3",
        context,
        key,
        i64::from(limit),
    )
    .fetch_all(pool)
    .await?;
    Ok(facts)
}

/// Decides about the stopped key `key`, of whatever aggregate of `context`; the relay carries it
/// out within its longest pause.
///
/// # Errors
/// [`Error::NotStopped`], or the database does not answer.
pub async fn resolve(
    pool: &PgPool,
    context: &str,
    key: &str,
    resolution: Resolution,
) -> Result<(), Error> {
    let resolved = sqlx::query!(
        "UPDATE events.stopped SET resolution = $3 WHERE context = $1 AND key = $2",
        context,
        key,
        resolution.name(),
    )
    .execute(pool)
    .await?;
    match resolved.rows_affected() {
        0 => Err(Error::NotStopped {
            context: context.to_owned(),
            key: key.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A key to stop at its first row that is not published.
#[derive(Debug)]
pub(crate) struct Stop<'r> {
    pub(crate) row: &'r OutboxRow,
    pub(crate) cause: Cause,
    pub(crate) reason: String,
}

/// Stops a key.
pub(crate) async fn stop(
    tx: &mut PgConnection,
    Stop { row, cause, reason }: &Stop<'_>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO events.stopped (context, aggregate, key, version, cause, reason)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (context, aggregate, key) DO UPDATE
         SET version = excluded.version, cause = excluded.cause, reason = excluded.reason, resolution = NULL",
        row.context,
        row.aggregate,
        row.key,
        row.version,
        cause.name(),
        // Postgres text holds no NUL, and a server's answer may quote anything.
        reason.replace('\0', "\u{fffd}"),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns how many keys of `context` are stopped.
pub(crate) async fn count(tx: &mut PgConnection, context: &str) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM events.stopped WHERE context = $1"#,
        context,
    )
    .fetch_one(tx)
    .await?;
    Ok(count)
}

/// A stopped key that is to be resolved.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) context: String,
    pub(crate) aggregate: String,
    pub(crate) key: String,
    pub(crate) version: i64,
    pub(crate) resolution: Resolution,
}

/// Reads the keys that an operator has decided about.
pub(crate) async fn due(connection: &mut PgConnection) -> Result<Vec<Due>, Error> {
    let rows = sqlx::query!(
        r#"SELECT context, aggregate, key, version, resolution AS "resolution!"
           FROM events.stopped WHERE resolution IS NOT NULL LIMIT 100"#
    )
    .fetch_all(connection)
    .await?;
    let due = rows.into_iter().filter_map(|row| {
        Some(Due {
            resolution: Resolution::named(&row.resolution)?,
            context: row.context,
            aggregate: row.aggregate,
            key: row.key,
            version: row.version,
        })
    });
    Ok(due.collect())
}

/// Lets the relay publish the key again.
pub(crate) async fn free(tx: &mut PgConnection, due: &Due) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM events.stopped WHERE context = $1 AND aggregate = $2 AND key = $3",
        due.context,
        due.aggregate,
        due.key,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Drops the first waiting fact of the key.
pub(crate) async fn discard(tx: &mut PgConnection, due: &Due) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM events.outbox
         WHERE context = $1 AND aggregate = $2 AND key = $3 AND version = $4",
        due.context,
        due.aggregate,
        due.key,
        due.version,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives the waiting facts of the key the versions from `first` on, in their order, and makes the
/// next fact follow them.
pub(crate) async fn renumber(tx: &mut PgConnection, due: &Due, first: i64) -> Result<(), Error> {
    // The row lock keeps writers of the aggregate out.
    sqlx::query!(
        "SELECT version FROM events.chain WHERE context = $1 AND aggregate = $2 AND key = $3 FOR UPDATE",
        due.context,
        due.aggregate,
        due.key,
    )
    .fetch_optional(&mut *tx)
    .await?;
    // In two steps: a unique index is checked row by row.
    sqlx::query!(
        "UPDATE events.outbox SET version = -version
         WHERE context = $1 AND aggregate = $2 AND key = $3",
        due.context,
        due.aggregate,
        due.key,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "WITH numbered AS (
             UPDATE events.outbox AS outbox SET version = $4 + place.number - 1
             FROM (SELECT id, row_number() OVER (ORDER BY version DESC) AS number FROM events.outbox
                   WHERE context = $1 AND aggregate = $2 AND key = $3) AS place
             WHERE outbox.id = place.id
             RETURNING outbox.version
         )
         UPDATE events.chain SET version = greatest((SELECT max(version) FROM numbered), $4 - 1)
         WHERE context = $1 AND aggregate = $2 AND key = $3",
        due.context,
        due.aggregate,
        due.key,
        first,
    )
    .execute(tx)
    .await?;
    Ok(())
}
