//! The tables of sagas. Every statement is about a whole batch.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{PgConnection, PgPool};
use store::columns;
use uuid::Uuid;

use crate::definition::{Definition, Outcome, Step};
use crate::instance::Instance;

/// The migrations of the schema `saga` in a service's database, for `store::Database::open`.
///
/// They keep their own record in that schema and touch nothing outside of it.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Most instances of one state that are counted.
const COUNTED_ROWS: i64 = 100_000;

/// The status of an instance; its name is the one in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It has a step to take.
    Open,
    /// It waits for an operator.
    NeedsOperator,
    /// It has ended.
    Ended,
}

store::text_enum!(State);

/// A row to write: an instance after an attempt.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    /// The version that the attempt began with.
    pub(crate) version: i64,
    pub(crate) step: &'static str,
    pub(crate) state: State,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) problem: Option<String>,
    pub(crate) attempts: i32,
    /// Pause until it is due.
    pub(crate) due_in: Duration,
}

/// An entry of the log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) step: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) reason: Option<String>,
}

/// The number of instances of one saga at one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) name: String,
    /// The step to take.
    pub(crate) step: String,
    /// Open, or waiting for an operator.
    pub(crate) state: State,
    pub(crate) instances: i64,
    /// Seconds since the oldest of them began.
    pub(crate) oldest_s: f64,
}

/// Begins one instance for each id and key, in the transaction that inserts its subject. A known
/// id is left as it is. `deadline` counts from now, by the database's clock.
///
/// # Errors
/// Those of the database.
pub async fn begin<S: Step>(
    tx: &mut PgConnection,
    definition: &Definition<S>,
    subjects: &[(Uuid, &str)],
    deadline: Duration,
) -> Result<(), sqlx::Error> {
    let Some(first) = definition.first() else {
        return Ok(());
    };
    let (ids, keys) = columns!(subjects, (id, key) => *id, *key);
    sqlx::query!(
        "INSERT INTO saga.instance (name, definition, id, key, step, deadline, traceparent)
         SELECT $1, $2, id, key, $3, now() + $4 * interval '1 millisecond', $5
         FROM unnest($6::uuid[], $7::text[]) AS subject (id, key)
         ON CONFLICT DO NOTHING",
        definition.name,
        definition.version,
        first.into(),
        deadline.as_millis() as f64,
        chassis::telemetry::current_traceparent(),
        &ids,
        &keys as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes the instances of a key that are at `step` due now. Locked ones are skipped, so that no two
/// instances wait for each other; a skipped one is due again by itself.
///
/// # Errors
/// Those of the database.
pub async fn wake<S: Step>(
    tx: &mut PgConnection,
    definition: &Definition<S>,
    step: S,
    keys: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga.instance SET due_at = now() WHERE (name, id) IN (
             SELECT name, id FROM saga.instance
             WHERE name = $1 AND key = ANY($2) AND step = $3 AND status = 'OPEN' AND due_at > now()
             FOR UPDATE SKIP LOCKED)",
        definition.name,
        keys as &[&str],
        step.into()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Claims up to `limit` due instances; no other runner claims them until `lease` has passed. An
/// instance whose step the definition does not have needs an operator.
pub(crate) async fn claim<S: Step>(
    pool: &PgPool,
    definition: &Definition<S>,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Instance<S>>, sqlx::Error> {
    let rows = sqlx::query!(
        "UPDATE saga.instance SET due_at = now() + $4 * interval '1 millisecond', version = version + 1
         WHERE name = $1 AND id IN (
             SELECT id FROM saga.instance
             WHERE name = $1 AND definition = $2 AND status = 'OPEN' AND due_at <= now()
             ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING id, key, step, outcome, reason, attempts, version, traceparent, given_up",
        definition.name,
        definition.version,
        limit as i64,
        lease.as_millis() as f64
    )
    .fetch_all(pool)
    .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    let mut unreadable = Vec::new();
    for row in rows {
        let Some(step) = row.step.parse().ok().filter(|step| definition.has(*step)) else {
            unreadable.push(row.id);
            continue;
        };
        claimed.push(Instance {
            id: row.id,
            key: row.key,
            step,
            outcome: row
                .outcome
                .zip(row.reason)
                .map(|(end, reason)| Outcome { end, reason }),
            attempts: row.attempts.unsigned_abs(),
            version: row.version,
            traceparent: row.traceparent,
            given_up: row.given_up,
        });
    }
    if !unreadable.is_empty() {
        set_aside(pool, definition.name, &unreadable).await?;
    }
    Ok(claimed)
}

/// Returns the number of instances that have not ended, by saga, step and state; counts
/// [`COUNTED_ROWS`] of each state at most.
pub(crate) async fn counts(pool: &PgPool) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"SELECT name AS "name!", step AS "step!", status AS "state!: State", count(*) AS "instances!",
                  extract(epoch FROM clock_timestamp() - min(begun_at))::float8 AS "oldest_s!"
           FROM ((SELECT name, step, status, begun_at FROM saga.instance WHERE status = 'OPEN' LIMIT $1)
                 UNION ALL
                 (SELECT name, step, status, begun_at FROM saga.instance WHERE status = 'NEEDS_OPERATOR'
                  LIMIT $1)) AS instance
           GROUP BY name, step, status"#,
        COUNTED_ROWS
    )
    .fetch_all(pool)
    .await
}

/// Locks those of the instances whose claim still holds, in the order of their ids; returns for
/// each whether its deadline has passed, by the database's clock.
pub(crate) async fn lock<S>(
    tx: &mut PgConnection,
    name: &str,
    instances: &[Instance<S>],
) -> Result<HashMap<(Uuid, i64), bool>, sqlx::Error> {
    let (ids, versions) = columns!(instances, instance => instance.id, instance.version);
    let rows = sqlx::query!(
        r#"SELECT instance.id, instance.version, instance.deadline <= now() AS "overdue!"
           FROM saga.instance
           JOIN unnest($2::uuid[], $3::bigint[]) AS claimed (id, version) USING (id, version)
           WHERE name = $1 AND status = 'OPEN' ORDER BY instance.id FOR UPDATE OF instance"#,
        name,
        &ids,
        &versions
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.id, row.version), row.overdue))
        .collect())
}

/// Writes instances that [`lock`] returned, each with the next version.
pub(crate) async fn write(
    tx: &mut PgConnection,
    name: &str,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let (ids, versions, steps, states, ends, reasons, problems, attempts, pauses) = columns!(
        rows,
        row => row.id,
        row.version,
        row.step,
        <&str>::from(row.state),
        row.outcome.as_ref().map(|outcome| outcome.end.as_str()),
        row.outcome.as_ref().map(|outcome| outcome.reason.as_str()),
        row.problem.as_deref(),
        row.attempts,
        row.due_in.as_millis() as f64,
    );
    sqlx::query!(
        "UPDATE saga.instance AS instance SET
             step = row.step, status = row.status, outcome = row.outcome, reason = row.reason,
             problem = row.problem, attempts = row.attempts, given_up = NULL,
             version = instance.version + 1, changed_at = now(),
             due_at = now() + row.due_in * interval '1 millisecond'
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::integer[], $10::float8[])
              AS row (id, version, step, status, outcome, reason, problem, attempts, due_in)
         WHERE instance.name = $1 AND instance.id = row.id AND instance.version = row.version",
        name,
        &ids,
        &versions,
        &steps as &[&str],
        &states as &[&str],
        &ends as &[Option<&str>],
        &reasons as &[Option<&str>],
        &problems as &[Option<&str>],
        &attempts,
        &pauses
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Appends to the log.
pub(crate) async fn log(
    tx: &mut PgConnection,
    name: &str,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let (ids, versions, steps, answers, reasons) = columns!(
        entries,
        entry => entry.id,
        entry.version,
        entry.step,
        entry.answer,
        entry.reason.as_deref(),
    );
    sqlx::query!(
        "INSERT INTO saga.log (name, id, version, step, answer, reason)
         SELECT $1, id, version, step, answer, reason
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[])
              AS entry (id, version, step, answer, reason)",
        name,
        &ids,
        &versions,
        &steps as &[&str],
        &answers as &[&str],
        &reasons as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives claimed instances back: they are due now.
pub(crate) async fn release<S>(
    pool: &PgPool,
    name: &str,
    instances: &[Instance<S>],
) -> Result<(), sqlx::Error> {
    let (ids, versions) = columns!(instances, instance => instance.id, instance.version);
    sqlx::query!(
        "UPDATE saga.instance AS instance SET due_at = now()
         FROM unnest($2::uuid[], $3::bigint[]) AS claimed (id, version)
         WHERE name = $1 AND instance.id = claimed.id AND instance.version = claimed.version",
        name,
        &ids,
        &versions
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes up to `limit` instances that ended more than `keep` ago, with their log; returns how
/// many.
pub(crate) async fn purge(
    pool: &PgPool,
    name: &str,
    keep: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query_scalar!(
        r#"WITH old AS (
               DELETE FROM saga.instance WHERE (name, id) IN (
                   SELECT name, id FROM saga.instance
                   WHERE name = $1 AND status = 'ENDED' AND changed_at < now() - $2 * interval '1 second'
                   ORDER BY changed_at LIMIT $3 FOR UPDATE SKIP LOCKED)
               RETURNING name, id
           ), entries AS (
               DELETE FROM saga.log USING old WHERE log.name = old.name AND log.id = old.id
           )
           SELECT count(*) AS "deleted!" FROM old"#,
        name,
        keep.as_secs() as f64,
        limit
    )
    .fetch_one(pool)
    .await?;
    Ok(deleted.unsigned_abs())
}

async fn set_aside(pool: &PgPool, name: &str, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE saga.instance SET status = 'NEEDS_OPERATOR', problem = 'UNKNOWN_STEP', changed_at = now(),
                version = version + 1
         WHERE name = $1 AND id = ANY($2)",
        name,
        ids
    )
    .execute(pool)
    .await?;
    Ok(())
}
