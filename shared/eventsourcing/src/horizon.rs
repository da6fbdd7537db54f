//! The horizon: the sequence up to which no event can appear any more.
//!
//! Sequences are given out before their transactions commit, so a reader that goes by the highest
//! one it sees would miss those that commit later. The reader reads the highest sequence given out,
//! then takes a transaction id: every transaction with a sequence up to that one has a lower id.
//! Once all lower ids have ended, all those events are seen or will never be.

use sqlx::PgPool;

/// A horizon that moves; each reader has its own.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    safe: i64,
    fence: Option<Fence>,
}

/// A sequence that is safe once all transactions below an id have ended.
#[derive(Clone, Copy, Debug)]
struct Fence {
    sequence: i64,
    transaction: i64,
}

impl Horizon {
    /// Moves as far as the open transactions allow; returns the horizon.
    pub(crate) async fn advance(&mut self, pool: &PgPool) -> Result<i64, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        if self.fence.is_none() {
            let sequence = given_out(&mut connection).await?;
            if sequence <= self.safe {
                return Ok(self.safe);
            }
            // A statement of its own, after the one above: it assigns an id, which stays unused.
            let transaction =
                sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text::bigint AS "id!""#)
                    .fetch_one(&mut *connection)
                    .await?;
            self.fence = Some(Fence {
                sequence,
                transaction,
            });
        }
        let oldest = sqlx::query_scalar!(
            r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest!""#
        )
        .fetch_one(&mut *connection)
        .await?;
        if let Some(fence) = self.fence.filter(|fence| oldest >= fence.transaction) {
            self.safe = fence.sequence;
            self.fence = None;
        }
        Ok(self.safe)
    }

    /// Returns true while events wait for transactions to end.
    pub(crate) fn is_waiting(&self) -> bool {
        self.fence.is_some()
    }
}

/// Returns the highest sequence that any transaction was given.
pub(crate) async fn given_out(connection: &mut sqlx::PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(pg_sequence_last_value(
                      pg_get_serial_sequence('eventsourcing.event', 'sequence')::regclass), 0) AS "last!""#
    )
    .fetch_one(connection)
    .await
}
