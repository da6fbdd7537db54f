//! The lease of a source: one process reads it at a time, by the database's clock.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::source::State;
use super::{Store, StoreError};

/// A source that this process owns, or owned.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(super) source: String,
    pub(super) owner: Uuid,
    /// Grows with each owner: what an earlier one still writes is recognised.
    pub(super) epoch: i64,
    pub(super) term: Duration,
}

// === impl Lease ===

impl Lease {
    /// Returns its term.
    pub(crate) fn term_length(&self) -> Duration {
        self.term
    }

    pub(super) fn term(&self) -> PgInterval {
        interval(self.term)
    }
}

// === impl Store ===

impl Store {
    /// Takes a source for `term`; `None` while another process owns it.
    pub(crate) async fn take(
        &self,
        source: &str,
        term: Duration,
    ) -> Result<Option<Lease>, sqlx::Error> {
        let owner = Uuid::new_v4();
        // A lease that ends later than any term was taken before the clock was set back.
        let epoch = sqlx::query_scalar!(
            "UPDATE source SET owner = $2, epoch = epoch + 1, owned_until = clock_timestamp() + $3
             WHERE name = $1
               AND owned_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 hour'
             RETURNING epoch",
            source,
            owner,
            interval(term),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(epoch.map(|epoch| Lease {
            source: source.to_owned(),
            owner,
            epoch,
            term,
        }))
    }

    /// Keeps a source for another term; returns its state.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: another process has taken it.
    pub(crate) async fn keep(&self, lease: &Lease) -> Result<State, StoreError> {
        let state = sqlx::query_scalar!(
            r#"UPDATE source SET owned_until = clock_timestamp() + $4
               WHERE name = $1 AND owner = $2 AND epoch = $3 RETURNING state AS "state: State""#,
            lease.source,
            lease.owner,
            lease.epoch,
            lease.term(),
        )
        .fetch_optional(&self.pool)
        .await?;
        state.ok_or(StoreError::LeaseLost)
    }

    /// Returns the state of a source that this process owns.
    ///
    /// # Errors
    /// See [`Store::keep`].
    pub(crate) async fn state(&self, lease: &Lease) -> Result<State, StoreError> {
        let state = sqlx::query_scalar!(
            r#"SELECT state AS "state: State" FROM source WHERE name = $1 AND owner = $2 AND epoch = $3"#,
            lease.source,
            lease.owner,
            lease.epoch,
        )
        .fetch_optional(&self.pool)
        .await?;
        state.ok_or(StoreError::LeaseLost)
    }

    /// Gives a source back, so that the next owner need not wait.
    pub(crate) async fn release(&self, lease: &Lease) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE source SET owned_until = '-infinity' WHERE name = $1 AND owner = $2 AND epoch = $3",
            lease.source,
            lease.owner,
            lease.epoch,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stops a source by its owner.
    pub(crate) async fn stop(&self, lease: &Lease, reason: &str) -> Result<(), StoreError> {
        let stopped = sqlx::query!(
            "UPDATE source SET state = 'STOPPED', reason = $4, changed_at = now()
             WHERE name = $1 AND owner = $2 AND epoch = $3",
            lease.source,
            lease.owner,
            lease.epoch,
            super::text(reason),
        )
        .execute(&self.pool)
        .await?;
        match stopped.rows_affected() {
            0 => Err(StoreError::LeaseLost),
            _ => Ok(()),
        }
    }
}

fn interval(term: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(term.as_micros()).unwrap_or(i64::MAX),
    }
}
