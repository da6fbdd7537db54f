//! The tables of the process: sources, positions, quarantine, spool.

mod contract;
mod lease;
mod quarantine;
mod source;
mod spool;
mod unit;

use sqlx::PgPool;

pub(crate) use lease::Lease;
pub(crate) use quarantine::{Cursor, Held, HeldRow, Resolution, refuse_again, resolve};
pub(crate) use source::{SourceRow, State};
pub(crate) use spool::{Received, Spooled};
pub(crate) use unit::{Begun, Bounds, Step, UnitEnd, UnitRow, UnitState};

/// Why a statement of an owner has had no effect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another process owns the source.
    #[error("another process owns the source")]
    LeaseLost,
    /// Another reader has moved the position.
    #[error("the position of unit {0} is another one")]
    PositionMoved(String),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

/// The tables; clones share a pool.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: PgPool,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Deletes what was resolved, and units that were ended, before so many days, and uploads that
    /// no one has continued for a week.
    pub(crate) async fn purge(&self, keep_days: u32) -> Result<u64, sqlx::Error> {
        let days = i32::try_from(keep_days).unwrap_or(i32::MAX);
        let resolved = sqlx::query!(
            "DELETE FROM quarantine WHERE resolved_at < now() - make_interval(days => $1)",
            days,
        )
        .execute(&self.pool)
        .await?;
        let units = sqlx::query!(
            "DELETE FROM unit WHERE state <> 'READING' AND changed_at < now() - make_interval(days => $1)
             AND NOT EXISTS (SELECT FROM quarantine AS held WHERE held.source = unit.source
                             AND held.unit = unit.unit AND held.resolution IS NULL)",
            days,
        )
        .execute(&self.pool)
        .await?;
        let abandoned = sqlx::query!(
            "DELETE FROM spool WHERE NOT is_complete AND changed_at < now() - interval '7 days'"
        )
        .execute(&self.pool)
        .await?;
        Ok(resolved.rows_affected() + units.rows_affected() + abandoned.rows_affected())
    }
}

/// Replaces what a Postgres text can't hold.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
