//! The generations of projections: begun, advanced, swapped, dropped.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::error::Error;
use crate::horizon;

/// How long dropping a retired generation waits for readers of the table, and makes new ones wait.
const DROP_LOCK: &str = "SET LOCAL lock_timeout = '100ms'";
/// SQLSTATE of a lock that was not granted in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The status of a generation; its name is the one in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Built beside the live one.
    Building,
    /// The one that is read.
    Live,
    /// Replaced; dropped soon.
    Retired,
}

store::text_enum!(Status);

/// A generation of a projection, and how far it is.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Number of the generation, from 1.
    pub generation: i32,
    /// Version of the code that writes it.
    pub version: i32,
    /// Whether it is read, or being built.
    pub status: Status,
    /// All events up to this sequence are applied.
    pub position: i64,
    /// The highest sequence that was given out: `position` follows it.
    pub head: i64,
    /// Number of events that were applied.
    pub applied: i64,
    /// Why it stands still; `None` while it goes on.
    pub problem: Option<String>,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// When it last moved.
    pub changed_at: DateTime<Utc>,
}

/// A generation that this transaction has locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locked {
    pub(crate) generation: i32,
    pub(crate) status: Status,
    pub(crate) position: i64,
}

/// Returns the generations of a projection with their progress, the newest first.
///
/// # Errors
/// Those of the database.
pub async fn progress(pool: &PgPool, name: &str) -> Result<Vec<Generation>, Error> {
    let mut connection = pool.acquire().await?;
    let head = horizon::given_out(&mut connection).await?;
    Ok(sqlx::query_as!(
        Generation,
        r#"SELECT generation, version, status AS "status: Status", position, $2::bigint AS "head!", applied, problem,
                  begun_at, changed_at
           FROM eventsourcing.projection WHERE name = $1 ORDER BY generation DESC"#,
        name,
        head
    )
    .fetch_all(&mut *connection)
    .await?)
}

/// Creates the partition of a new generation, and its row. Readers and writers of the table go on.
pub(crate) async fn begin(
    tx: &mut PgConnection,
    name: &'static str,
    version: i32,
    status: Status,
) -> Result<i32, sqlx::Error> {
    let generation = sqlx::query_scalar!(
        r#"INSERT INTO eventsourcing.projection (name, generation, version, status)
           SELECT $1, coalesce(max(generation), 0) + 1, $2, $3 FROM eventsourcing.projection WHERE name = $1
           RETURNING generation"#,
        name,
        version,
        status as Status
    )
    .fetch_one(&mut *tx)
    .await?;
    let partition = partition(name, generation);
    // `CREATE TABLE … PARTITION OF` would lock out the readers of the table.
    execute(
        tx,
        format!("CREATE TABLE {partition} (LIKE {name} INCLUDING ALL)"),
    )
    .await?;
    let attach =
        format!("ALTER TABLE {name} ATTACH PARTITION {partition} FOR VALUES IN ({generation})");
    execute(tx, attach).await?;
    Ok(generation)
}

/// Locks the generations that code of this version writes, the live one first. Those that another
/// process advances are left out.
pub(crate) async fn lock(
    tx: &mut PgConnection,
    name: &str,
    version: i32,
) -> Result<Vec<Locked>, sqlx::Error> {
    sqlx::query_as!(
        Locked,
        r#"SELECT generation, status AS "status: Status", position FROM eventsourcing.projection
           WHERE name = $1 AND version = $2 AND status <> 'RETIRED' ORDER BY generation FOR UPDATE SKIP LOCKED"#,
        name,
        version
    )
    .fetch_all(tx)
    .await
}

/// Moves a locked generation, in the transaction that has applied the events.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    name: &str,
    generation: i32,
    position: i64,
    applied: usize,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE eventsourcing.projection SET position = $3, applied = applied + $4, problem = NULL, changed_at = now()
         WHERE name = $1 AND generation = $2",
        name,
        generation,
        position,
        applied as i64
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the position of the live generation.
pub(crate) async fn live(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<(i32, i64)>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT version, position FROM eventsourcing.projection WHERE name = $1 AND status = 'LIVE'",
        name
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.version, row.position)))
}

/// Makes a locked generation the live one, unless the live one is ahead of it; returns whether it
/// did. A reader sees the old generation or the new one, never a part of both.
pub(crate) async fn swap(
    tx: &mut PgConnection,
    name: &str,
    generation: i32,
    position: i64,
) -> Result<bool, sqlx::Error> {
    let retired = sqlx::query!(
        "UPDATE eventsourcing.projection SET status = 'RETIRED', changed_at = now()
         WHERE name = $1 AND status = 'LIVE' AND position <= $2",
        name,
        position
    )
    .execute(&mut *tx)
    .await?;
    if retired.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "UPDATE eventsourcing.projection SET status = 'LIVE', changed_at = now() WHERE name = $1 AND generation = $2",
        name,
        generation
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Retires the generation that is being built.
pub(crate) async fn abandon(tx: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE eventsourcing.projection SET status = 'RETIRED', changed_at = now()
         WHERE name = $1 AND status = 'BUILDING'",
        name
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Drops a retired generation; false if there is none, or if readers hold the table.
pub(crate) async fn drop_retired(pool: &PgPool, name: &str) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let retired = sqlx::query_scalar!(
        "SELECT generation FROM eventsourcing.projection WHERE name = $1 AND status = 'RETIRED'
         ORDER BY generation LIMIT 1 FOR UPDATE SKIP LOCKED",
        name
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(generation) = retired else {
        return Ok(false);
    };
    sqlx::raw_sql(DROP_LOCK).execute(&mut *tx).await?;
    let dropped = execute(
        &mut tx,
        format!("DROP TABLE {}", partition(name, generation)),
    )
    .await;
    match dropped {
        Err(error) if is_locked(&error) => return Ok(false),
        other => other?,
    }
    sqlx::query!(
        "DELETE FROM eventsourcing.projection WHERE name = $1 AND generation = $2",
        name,
        generation
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Records why the projection stands still.
pub(crate) async fn stop(
    pool: &PgPool,
    name: &str,
    version: i32,
    problem: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE eventsourcing.projection SET problem = $3 WHERE name = $1 AND version = $2 AND status <> 'RETIRED'",
        name,
        version,
        problem
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The name of a generation's table.
fn partition(name: &str, generation: i32) -> String {
    format!("{name}_v{generation}")
}

/// Runs a statement about a table of a projection, whose name is a constant of the code and checked
/// by the table of projections.
async fn execute(tx: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(tx).await?;
    Ok(())
}

fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(LOCK_NOT_AVAILABLE)
}
