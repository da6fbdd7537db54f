//! The lease of a database's outbox: one relay publishes at a time, by the database's clock.

use std::time::Duration;

use chassis::crash;
use facts::error::Error;
use facts::settings::{self, interval};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

/// Name of the lease that relays compete for.
const RELAY: &str = "relay";

/// How often an owner renews the lease within its term.
pub(super) const RENEWALS_PER_TERM: u32 = 3;

/// Longest term of any process: a lease that ends later was taken before the clock was set back.
const LONGEST_TERM: Duration = Duration::from_millis(settings::MAX_LEASE_MS);

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(crate) struct Lease {
    owner: Uuid,
    /// Grows with each owner: what an earlier one still writes is recognised.
    epoch: i64,
    term: Duration,
    renewed: Instant,
}

// === impl Lease ===

impl Lease {
    /// Takes the lease for `term`; `None` while another process holds it.
    pub(crate) async fn take(
        connection: &mut PgConnection,
        term: Duration,
    ) -> Result<Option<Self>, Error> {
        let (owner, renewed) = (Uuid::new_v4(), Instant::now());
        let epoch = sqlx::query_scalar!(
            "INSERT INTO events.lease AS lease (name, owner, epoch, expires_at)
             VALUES ($1, $2, 1, clock_timestamp() + $3)
             ON CONFLICT (name) DO UPDATE
             SET owner = excluded.owner, epoch = lease.epoch + 1, expires_at = excluded.expires_at
             WHERE lease.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + $4
             RETURNING epoch",
            RELAY,
            owner,
            interval(term),
            interval(LONGEST_TERM),
        )
        .fetch_optional(connection)
        .await?;
        Ok(epoch.map(|epoch| Self {
            owner,
            epoch,
            term,
            renewed,
        }))
    }

    /// Takes the lease from whoever holds it, for as long as `tx` runs: its row stays locked.
    pub(crate) async fn seize(tx: &mut PgConnection) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO events.lease AS lease (name, owner, epoch, expires_at)
             VALUES ($1, $2, 1, '-infinity')
             ON CONFLICT (name) DO UPDATE
             SET owner = excluded.owner, epoch = lease.epoch + 1, expires_at = excluded.expires_at",
            RELAY,
            Uuid::new_v4(),
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Renews the lease if a third of its term has passed: each renewal is a commit.
    ///
    /// # Errors
    /// See [`Lease::renew`].
    pub(super) async fn keep(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        match self.renewed.elapsed() < self.term / RENEWALS_PER_TERM {
            true => Ok(()),
            false => self.renew(connection).await,
        }
    }

    /// Holds the lease for another term, and its row until `connection`'s transaction ends.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]: another process has taken it.
    pub(crate) async fn renew(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let now = Instant::now();
        let renewed = sqlx::query!(
            "UPDATE events.lease SET expires_at = clock_timestamp() + $4
             WHERE name = $1 AND owner = $2 AND epoch = $3",
            RELAY,
            self.owner,
            self.epoch,
            interval(self.term),
        )
        .execute(connection)
        .await?;
        crash::point("events.relay.lease_renewed");
        match renewed.rows_affected() {
            0 if !crash::skips("events.lease") => Err(Error::LeaseLost),
            _ => {
                self.renewed = now;
                Ok(())
            }
        }
    }

    /// Returns how long the lease lasts after a renewal.
    pub(super) fn term(&self) -> Duration {
        self.term
    }

    /// Gives the lease back, so that the next owner need not wait for its end.
    pub(crate) async fn release(&self, connection: &mut PgConnection) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE events.lease SET expires_at = '-infinity'
             WHERE name = $1 AND owner = $2 AND epoch = $3",
            RELAY,
            self.owner,
            self.epoch,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
