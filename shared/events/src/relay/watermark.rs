//! The id below which the outbox has no rows to publish and will get none.

use std::time::Duration;

use facts::error::Error;
use sqlx::PgConnection;
use tokio::time::Instant;

/// Interval in which the relay looks at the running transactions.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Interval in which the whole outbox is read, in case somebody has put rows below the watermark
/// by hand.
const FULL_INTERVAL: Duration = Duration::from_secs(300);

/// Transaction ids at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transactions {
    /// The oldest that is running.
    oldest: i64,
    /// One that began after the batch was read: later ones are greater. Not `xmax` of the snapshot,
    /// which is past the last one that has ended, while others beyond it are running.
    next: i64,
}

/// The low watermark of the outbox. Without it, each read passes over the index entries of all rows
/// that were published since the last vacuum, which an old snapshot can hold off for hours.
///
/// Ids are not committed in their order. So the last id of a batch becomes the watermark only when
/// all transactions have ended that were running after the batch was read, and a later read has
/// found nothing below it.
#[derive(Debug)]
pub(super) struct Watermark {
    low: i64,
    /// The last id drained.
    drained: i64,
    candidate: Option<Candidate>,
    looked: Option<Instant>,
    full: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: i64,
    /// Transactions from this one on have greater ids in the outbox.
    horizon: i64,
    /// All earlier transactions have ended.
    is_settled: bool,
}

// === impl Watermark ===

impl Watermark {
    pub(super) fn new() -> Self {
        Self {
            low: 0,
            drained: 0,
            candidate: None,
            looked: None,
            full: Instant::now(),
        }
    }

    /// Returns the id after which to read.
    pub(super) fn low(&self) -> i64 {
        self.low
    }

    /// Looks at the running transactions from time to time, before a read.
    pub(super) async fn look(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.full.elapsed() > FULL_INTERVAL {
            *self = Self::new();
        }
        let begins = self.candidate.is_none();
        let is_idle = begins && self.drained <= self.low;
        if is_idle || self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return Ok(());
        }
        let now = sqlx::query_as!(
            Transactions,
            r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest!",
                      CASE WHEN $1 THEN pg_current_xact_id()::text::bigint ELSE 0 END AS "next!""#,
            begins
        )
        .fetch_one(connection)
        .await?;
        self.looked = Some(Instant::now());
        self.looked_at(now);
        Ok(())
    }

    /// Notes the first id that a read after [`Watermark::low`] has found.
    pub(super) fn read(&mut self, first: Option<i64>) {
        if let Some(candidate) = self.candidate.filter(|candidate| candidate.is_settled)
            && first.is_none_or(|first| first > candidate.id)
        {
            self.low = candidate.id;
            self.candidate = None;
        }
    }

    /// Notes the last id of a batch whose rows are published or belong to stopped keys.
    pub(super) fn drained(&mut self, last: i64) {
        self.drained = self.drained.max(last);
    }

    fn looked_at(&mut self, now: Transactions) {
        match &mut self.candidate {
            Some(candidate) => candidate.is_settled |= now.oldest >= candidate.horizon,
            None if self.drained > self.low => {
                self.candidate = Some(Candidate {
                    id: self.drained,
                    horizon: now.next,
                    is_settled: false,
                });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(oldest: i64, next: i64) -> Transactions {
        Transactions { oldest, next }
    }

    #[test]
    fn the_watermark_follows_what_is_drained() {
        let mut watermark = Watermark::new();
        watermark.read(Some(1));
        watermark.drained(500);
        watermark.looked_at(at(10, 10));
        watermark.read(Some(501));
        // Not yet: no second look has shown that the earlier transactions have ended.
        assert_eq!(watermark.low(), 0);
        watermark.drained(900);
        watermark.looked_at(at(10, 12));
        watermark.read(None);
        assert_eq!(watermark.low(), 500);
        watermark.looked_at(at(12, 12));
        watermark.looked_at(at(12, 12));
        watermark.read(None);
        assert_eq!(watermark.low(), 900);
    }

    #[test]
    fn a_running_transaction_holds_the_watermark() {
        let mut watermark = Watermark::new();
        watermark.drained(500);
        watermark.looked_at(at(7, 10));
        watermark.looked_at(at(7, 400));
        watermark.read(None);
        assert_eq!(watermark.low(), 0);
        watermark.looked_at(at(11, 500));
        // It has left a row.
        watermark.read(Some(3));
        assert_eq!(watermark.low(), 0);
        watermark.read(None);
        assert_eq!(watermark.low(), 500);
    }
}
