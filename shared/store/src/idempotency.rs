//! Inserts a row once per key and compares a repeated request with the stored one.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Map, Query};
use sqlx::{PgConnection, Postgres};

/// The effect of an idempotent insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// The row is new.
    New,
    /// The row exists, with the same fingerprint.
    Repeated,
}

/// Why an idempotent insert failed.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The key was used before, with another fingerprint.
    #[error("the key was used before with other content")]
    Changed,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Runs `insert`, an `INSERT … ON CONFLICT DO NOTHING` of one row. If the row exists, compares
/// `fingerprint` with that of the row, which `stored` selects.
///
/// A concurrent insert of the same key waits for the other's commit. `insert` is what
/// `sqlx::query!` returns, `stored` the same with a `.map` to the fingerprint.
///
/// # Errors
/// [`InsertError::Changed`] if the fingerprints differ.
pub async fn idempotent<'q, F, T>(
    connection: &mut PgConnection,
    insert: Query<'q, Postgres, PgArguments>,
    stored: Map<'q, Postgres, F, PgArguments>,
    fingerprint: &T,
) -> Result<Insert, InsertError>
where
    F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
    T: PartialEq + Send + Unpin,
{
    if insert.execute(&mut *connection).await?.rows_affected() == 1 {
        return Ok(Insert::New);
    }
    if stored.fetch_one(connection).await? == *fingerprint {
        Ok(Insert::Repeated)
    } else {
        Err(InsertError::Changed)
    }
}
