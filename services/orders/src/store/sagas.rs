//! Sagas: inserted with their order or return, claimed by one runner at a time, moved step by step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::error::Error;

/// What a saga carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An order.
    Order,
    /// A return.
    Return,
}

/// A saga that this runner has claimed.
#[derive(Clone, Debug)]
pub struct Saga {
    /// The order or the return.
    pub saga_id: Uuid,
    /// Which of the two.
    pub kind: Kind,
    /// Customer or guest account.
    pub account_id: String,
    /// The step to take.
    pub step: String,
    /// The end aimed for, or empty on the way forward.
    pub outcome: String,
    /// Why that end.
    pub reason: String,
    /// Tries of this step that got no answer.
    pub attempts: i32,
    /// After this an order is given up.
    pub deadline: DateTime<Utc>,
    /// Fences a claimant that lost its lease.
    pub version: i64,
    /// Trace that the saga belongs to.
    pub traceparent: String,
}

struct Row {
    saga_id: Uuid,
    kind: String,
    account_id: String,
    step: String,
    outcome: String,
    reason: String,
    attempts: i32,
    deadline: DateTime<Utc>,
    version: i64,
    traceparent: String,
}

/// Inserts a saga in the transaction that inserts its order or return.
pub async fn begin(
    tx: &mut PgConnection,
    saga_id: Uuid,
    kind: Kind,
    account_id: &str,
    step: &str,
    deadline_ms: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO saga (saga_id, kind, account_id, step, deadline, traceparent)
         VALUES ($1, $2, $3, $4, now() + $5 * interval '1 millisecond', $6)",
        saga_id,
        kind.name(),
        account_id,
        step,
        deadline_ms as f64,
        chassis::telemetry::current_traceparent().unwrap_or_default()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Claims up to `limit` due sagas; no other runner claims them until `lease` has passed.
pub async fn claim(pool: &PgPool, limit: i64, lease: Duration) -> Result<Vec<Saga>, Error> {
    sqlx::query_as!(
        Row,
        "UPDATE saga SET due_at = now() + $2 * interval '1 millisecond', version = version + 1
         WHERE saga_id IN (SELECT saga_id FROM saga WHERE step <> 'END' AND due_at <= now()
                           ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING saga_id, kind, account_id, step, outcome, reason, attempts, deadline, version, traceparent",
        limit,
        lease.as_millis() as f64
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(Saga::try_from)
    .collect()
}

/// Moves the saga on, keeps the claim for another `lease` and logs the step `taken` with its
/// answer. Fails with `LostLease` if another runner has claimed it in between: then nothing of this
/// transaction may stand.
pub async fn advance(
    tx: &mut PgConnection,
    saga: &mut Saga,
    taken: &str,
    answer: &str,
    lease: Duration,
) -> Result<(), Error> {
    let moved = sqlx::query_scalar!(
        "UPDATE saga SET step = $3, outcome = $4, reason = $5, attempts = 0, version = version + 1,
                due_at = now() + $6 * interval '1 millisecond'
         WHERE saga_id = $1 AND version = $2 RETURNING version",
        saga.saga_id,
        saga.version,
        saga.step,
        saga.outcome,
        saga.reason,
        lease.as_millis() as f64
    )
    .fetch_optional(&mut *tx)
    .await?;
    saga.version = moved.ok_or(Error::LostLease(saga.saga_id))?;
    saga.attempts = 0;
    sqlx::query!(
        "INSERT INTO saga_log (saga_id, version, step, answer) VALUES ($1, $2, $3, $4)",
        saga.saga_id,
        saga.version,
        taken,
        answer
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Delays the saga after a step without an answer.
pub async fn put_off(pool: &PgPool, saga: &Saga, pause: Duration) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE saga SET attempts = attempts + 1, version = version + 1, due_at = now() + $3 * interval '1 millisecond'
         WHERE saga_id = $1 AND version = $2",
        saga.saga_id,
        saga.version,
        pause.as_millis() as f64
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Makes the waiting returns of an account due now. A locked one is skipped, so that two returns of
/// an account never wait for each other; it checks its turn again by itself.
pub async fn wake_returns(tx: &mut PgConnection, account_id: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE saga SET due_at = now() WHERE saga_id IN (
             SELECT saga_id FROM saga WHERE kind = 'RETURN' AND step = 'ALLOCATE' AND account_id = $1
             FOR UPDATE SKIP LOCKED)",
        account_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl Kind {
    /// Returns the name that the database holds.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "ORDER",
            Self::Return => "RETURN",
        }
    }
}

impl TryFrom<Row> for Saga {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            saga_id: row.saga_id,
            kind: [Kind::Order, Kind::Return]
                .into_iter()
                .find(|kind| kind.name() == row.kind)
                .ok_or(Error::Corrupt("saga.kind"))?,
            account_id: row.account_id,
            step: row.step,
            outcome: row.outcome,
            reason: row.reason,
            attempts: row.attempts,
            deadline: row.deadline,
            version: row.version,
            traceparent: row.traceparent,
        })
    }
}
