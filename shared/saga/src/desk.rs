//! Sagas that need an operator: list, show, resume, give up.
//!
//! All functions work on the database of the service that runs the saga.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::store::State;

/// An instance as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The saga.
    pub name: String,
    /// Version of its definition.
    pub definition: i32,
    /// The subject of the saga.
    pub id: Uuid,
    /// The key that it was begun with.
    pub key: String,
    /// Open, waiting for an operator, or ended.
    pub state: State,
    /// The step to take; the last one taken once it has ended.
    pub step: String,
    /// The end that compensation leads to; none on the way forward.
    pub outcome: Option<String>,
    /// Why it is compensated.
    pub reason: Option<String>,
    /// Why the step was not taken.
    pub problem: Option<String>,
    /// Attempts without an answer.
    pub attempts: i32,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// When it changed last: when a stuck one stopped.
    pub changed_at: DateTime<Utc>,
    /// After this, a step that the deadline ends is not tried again.
    pub deadline: DateTime<Utc>,
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

/// A place in the list of stuck instances, as text `MICROSECONDS/ID/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    since: DateTime<Utc>,
    id: Uuid,
    name: String,
}

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected MICROSECONDS/ID/NAME")]
pub struct InvalidCursor;

/// Returns the instances of `name`, or of all sagas, that need an operator: the longest stuck
/// first, those behind `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub async fn stuck(
    pool: &PgPool,
    name: Option<&str>,
    after: Option<&Cursor>,
    limit: i64,
) -> Result<Vec<Report>, sqlx::Error> {
    sqlx::query_as!(
        Report,
        r#"SELECT name, definition, id, key, status AS "state: State", step, outcome, reason, problem,
                  attempts, begun_at, changed_at, deadline
           FROM saga.instance
           WHERE status = 'NEEDS_OPERATOR' AND ($1::text IS NULL OR name = $1)
             AND ($2::timestamptz IS NULL OR (changed_at, id, name) > ($2, $3::uuid, $4::text))
           ORDER BY changed_at, id, name LIMIT $5"#,
        name,
        after.map(|cursor| cursor.since),
        after.map(|cursor| cursor.id),
        after.map(|cursor| cursor.name.as_str()),
        limit
    )
    .fetch_all(pool)
    .await
}

/// Returns an instance in whatever state, or none.
///
/// # Errors
/// Those of the database.
pub async fn get(pool: &PgPool, name: &str, id: Uuid) -> Result<Option<Report>, sqlx::Error> {
    sqlx::query_as!(
        Report,
        r#"SELECT name, definition, id, key, status AS "state: State", step, outcome, reason, problem,
                  attempts, begun_at, changed_at, deadline
           FROM saga.instance WHERE name = $1 AND id = $2"#,
        name,
        id
    )
    .fetch_optional(pool)
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

/// Gives `step` of a stuck instance up, for a reason that the log keeps; false if the instance does
/// not need an operator, or is at another step.
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
    step: &str,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let given_up = sqlx::query!(
        "UPDATE saga.instance SET status = 'OPEN', problem = NULL, attempts = 0, due_at = now(),
                given_up = $4, version = version + 1, changed_at = now()
         WHERE name = $1 AND id = $2 AND step = $3 AND status = 'NEEDS_OPERATOR'",
        name,
        id,
        step,
        reason
    )
    .execute(pool)
    .await?;
    Ok(given_up.rows_affected() == 1)
}

// === impl Report ===

impl Report {
    /// Returns true if it waits for an operator.
    pub fn is_stuck(&self) -> bool {
        self.state == State::NeedsOperator
    }

    /// Returns its place in the list of stuck instances.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            since: self.changed_at,
            id: self.id,
            name: self.name.clone(),
        }
    }
}

// === impl Cursor ===

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The database keeps microseconds.
        let since = self.since.timestamp_micros();
        write!(f, "{since}/{}/{}", self.id, self.name)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let read = || {
            let mut parts = text.splitn(3, '/');
            Some(Self {
                since: DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?,
                id: parts.next()?.parse().ok()?,
                name: parts.next()?.to_owned(),
            })
        };
        read().ok_or(InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let cursor = Cursor {
            since: DateTime::from_timestamp_micros(1_291_192_000_123_456).unwrap(),
            id: Uuid::from_u128(7),
            name: "A/B".to_owned(),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1/2", "x/00000000-0000-0000-0000-000000000007/A"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
