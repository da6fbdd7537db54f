//! Sagas: inserted with their order or return, claimed by one runner at a time, moved step by step.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        State,
        returns::ReturnStep,
        saga::{Outcome, Step},
    },
};

/// The subject of a saga; its name is the one in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// An order.
    Order,
    /// A return.
    Return,
}

/// A saga that this runner has claimed, with the steps `S`.
#[derive(Clone, Debug)]
pub struct Saga<S> {
    /// The order or the return.
    pub saga_id: Uuid,
    /// The step to take.
    pub step: S,
    /// The outcome that compensation leads to; none on the way forward.
    pub outcome: Option<Outcome>,
    /// Tries of this step that got no answer.
    pub attempts: i32,
    /// Fences a claimant that lost its lease.
    pub version: i64,
    /// Trace that the saga belongs to.
    pub traceparent: Option<String>,
}

/// A claimed saga of either kind.
#[derive(Clone, Debug)]
pub enum Claim {
    /// The saga of an order.
    Order(Saga<Step>),
    /// The saga of a return.
    Return(Saga<ReturnStep>),
}

struct SagaRow {
    saga_id: Uuid,
    kind: Kind,
    step: String,
    outcome: Option<State>,
    reason: Option<String>,
    attempts: i32,
    version: i64,
    traceparent: Option<String>,
}

/// Inserts a saga in the transaction that inserts its order or return.
pub async fn begin(
    tx: &mut PgConnection,
    saga_id: Uuid,
    kind: Kind,
    account_id: &str,
    step: impl Into<&'static str>,
    deadline_ms: i64,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO saga (saga_id, kind, account_id, step, deadline, traceparent)
         VALUES ($1, $2, $3, $4, now() + $5 * interval '1 millisecond', $6)",
        saga_id,
        kind as Kind,
        account_id,
        step.into(),
        deadline_ms as f64,
        chassis::telemetry::current_traceparent()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Claims up to `limit` due sagas; no other runner claims them until `lease` has passed.
pub async fn claim(pool: &PgPool, limit: i64, lease: Duration) -> Result<Vec<Claim>, Error> {
    sqlx::query_as!(
        SagaRow,
        r#"UPDATE saga SET due_at = now() + $2 * interval '1 millisecond', version = version + 1
           WHERE saga_id IN (SELECT saga_id FROM saga WHERE step <> 'END' AND due_at <= now()
                             ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
           RETURNING saga_id, kind AS "kind: Kind", step, outcome AS "outcome: State", reason, attempts,
                     version, traceparent"#,
        limit,
        lease.as_millis() as f64
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(Claim::try_from)
    .collect()
}

/// Returns whether the deadline of a saga has passed, by the clock that wrote it: the database's.
pub async fn is_overdue(pool: &PgPool, saga_id: Uuid) -> Result<bool, Error> {
    let overdue = sqlx::query_scalar!(
        r#"SELECT deadline <= now() AS "overdue!" FROM saga WHERE saga_id = $1"#,
        saga_id
    )
    .fetch_one(pool)
    .await?;
    Ok(overdue)
}

/// Moves the saga to its `next` step, keeps the claim for another `lease` and logs the step taken
/// with the name of its answer and the reason of a refusal.
///
/// # Errors
/// [`Error::LostLease`] if another runner has claimed it since: then nothing of this transaction
/// may be committed.
pub async fn advance<S: Copy + Into<&'static str>>(
    tx: &mut PgConnection,
    saga: &mut Saga<S>,
    next: S,
    (answer, reason): (&str, Option<&str>),
    lease: Duration,
) -> Result<(), Error> {
    let outcome = saga.outcome.as_ref();
    let moved = sqlx::query_scalar!(
        "UPDATE saga SET step = $3, outcome = $4, reason = $5, attempts = 0, version = version + 1,
                due_at = now() + $6 * interval '1 millisecond'
         WHERE saga_id = $1 AND version = $2 RETURNING version",
        saga.saga_id,
        saga.version,
        next.into(),
        outcome.map(|outcome| outcome.state) as Option<State>,
        outcome.map(|outcome| &outcome.reason),
        lease.as_millis() as f64
    )
    .fetch_optional(&mut *tx)
    .await?;
    saga.version = moved.ok_or(Error::LostLease(saga.saga_id))?;
    let taken = std::mem::replace(&mut saga.step, next);
    saga.attempts = 0;
    sqlx::query!(
        "INSERT INTO saga_log (saga_id, version, step, answer, reason) VALUES ($1, $2, $3, $4, $5)",
        saga.saga_id,
        saga.version,
        taken.into(),
        answer,
        reason
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Delays the saga after a step without an answer.
pub async fn put_off<S>(pool: &PgPool, saga: &Saga<S>, pause: Duration) -> Result<(), Error> {
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

impl TryFrom<SagaRow> for Claim {
    type Error = Error;

    fn try_from(row: SagaRow) -> Result<Self, Error> {
        let corrupt = |_| Error::Corrupt("saga.step");
        Ok(match row.kind {
            Kind::Order => Self::Order(
                row.step
                    .parse()
                    .map_err(corrupt)
                    .map(|step| row.saga(step))?,
            ),
            Kind::Return => Self::Return(
                row.step
                    .parse()
                    .map_err(corrupt)
                    .map(|step| row.saga(step))?,
            ),
        })
    }
}

impl SagaRow {
    fn saga<S>(self, step: S) -> Saga<S> {
        let outcome = self.outcome.zip(self.reason);
        Saga {
            saga_id: self.saga_id,
            step,
            outcome: outcome.map(|(state, reason)| Outcome { state, reason }),
            attempts: self.attempts,
            version: self.version,
            traceparent: self.traceparent,
        }
    }
}
