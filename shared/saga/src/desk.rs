//! Sagas that need an operator: list, show, resume, give up.
//!
//! All functions work on the database of the service that runs the saga.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::State;

/// An instance that needs an operator, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The saga.
    pub name: String,
    /// Version of its definition.
    pub definition: i32,
    /// The subject of the saga.
    pub id: Uuid,
    /// The key that it was begun with.
    pub key: String,
    /// The step that can't be taken.
    pub step: String,
    /// The end that compensation leads to; none on the way forward.
    pub outcome: Option<String>,
    /// Why the step can't be taken.
    pub problem: String,
    /// Attempts without an answer.
    pub attempts: i32,
    /// When it stopped.
    pub since: DateTime<Utc>,
}

/// A step that an instance has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The step.
    pub step: String,
    /// Its answer: DONE, REFUSED, FAILED or GIVEN_UP.
    pub answer: String,
    /// Reason of an answer other than DONE.
    pub reason: Option<String>,
    /// When it was recorded.
    pub at: DateTime<Utc>,
}

/// The number of instances of one saga at one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The saga.
    pub name: String,
    /// The step to take.
    pub step: String,
    /// Open, or waiting for an operator.
    pub state: State,
    /// Number of instances.
    pub instances: i64,
    /// When the longest unchanged of them changed last.
    pub oldest: DateTime<Utc>,
}

/// Returns the instances of `name`, or of all sagas, that need an operator: the longest stuck
/// first, at most `limit`.
///
/// # Errors
/// Those of the database.
pub async fn stuck(
    pool: &PgPool,
    name: Option<&str>,
    limit: u32,
) -> Result<Vec<Stuck>, sqlx::Error> {
    sqlx::query_as!(
        Stuck,
        r#"SELECT name, definition, id, key, step, outcome, problem AS "problem!", attempts,
                  changed_at AS since
           FROM saga.instance
           WHERE status = 'NEEDS_OPERATOR' AND ($1::text IS NULL OR name = $1)
           ORDER BY changed_at, name, id LIMIT $2"#,
        name,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await
}

/// Returns the steps that an instance has taken, the first first; at most `limit`.
///
/// # Errors
/// Those of the database.
pub async fn history(
    pool: &PgPool,
    name: &str,
    id: Uuid,
    limit: u32,
) -> Result<Vec<Taken>, sqlx::Error> {
    sqlx::query_as!(
        Taken,
        "SELECT step, answer, reason, at FROM saga.log WHERE name = $1 AND id = $2
         ORDER BY version, at LIMIT $3",
        name,
        id,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await
}

/// Takes the step of a stuck instance again, with all attempts ahead of it; false if the instance
/// does not need an operator.
///
/// # Errors
/// Those of the database.
pub async fn resume(pool: &PgPool, name: &str, id: Uuid) -> Result<bool, sqlx::Error> {
    let resumed = sqlx::query!(
        "UPDATE saga.instance SET status = 'OPEN', problem = NULL, attempts = 0, due_at = now(),
                version = version + 1, changed_at = now()
         WHERE name = $1 AND id = $2 AND status = 'NEEDS_OPERATOR'",
        name,
        id
    )
    .execute(pool)
    .await?;
    Ok(resumed.rows_affected() == 1)
}

/// Gives the step of a stuck instance up, for a reason that the log keeps; false if the instance
/// does not need an operator.
///
/// A compensation that is given up counts as done: the operator has undone the step by other means.
/// A step on the way forward is compensated; where nothing compensates it, the saga goes on without
/// it.
///
/// # Errors
/// Those of the database.
pub async fn give_up(
    pool: &PgPool,
    name: &str,
    id: Uuid,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let given_up = sqlx::query!(
        "UPDATE saga.instance SET status = 'OPEN', problem = NULL, attempts = 0, due_at = now(),
                given_up = $3, version = version + 1, changed_at = now()
         WHERE name = $1 AND id = $2 AND status = 'NEEDS_OPERATOR'",
        name,
        id,
        reason
    )
    .execute(pool)
    .await?;
    Ok(given_up.rows_affected() == 1)
}

/// Returns the number of instances that have not ended, by saga, step and state.
///
/// # Errors
/// Those of the database.
pub async fn counts(pool: &PgPool) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"SELECT name, step, status AS "state: State", count(*) AS "instances!",
                  min(changed_at) AS "oldest!"
           FROM saga.instance WHERE status <> 'ENDED' GROUP BY name, step, status
           ORDER BY name, step, status"#
    )
    .fetch_all(pool)
    .await
}
