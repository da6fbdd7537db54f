//! Keeps a source while it is read, and ends the reading when it is paused, lost or to stop.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rpc::lock::lock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::since;
use crate::metrics::SourceMetrics;
use crate::store::{Lease, State, Store, StoreError};

/// Renewals within a term.
pub(super) const RENEWALS: u32 = 3;

/// Keeps the source of one round.
pub(super) struct Watch<'a> {
    store: &'a Store,
    lease: &'a Lease,
    poll: Duration,
    metrics: &'a SourceMetrics,
    halt: CancellationToken,
    oldest: Mutex<Option<SystemTime>>,
}

// === impl Watch ===

impl<'a> Watch<'a> {
    pub(super) fn new(
        store: &'a Store,
        lease: &'a Lease,
        poll: Duration,
        metrics: &'a SourceMetrics,
    ) -> Self {
        Self {
            store,
            lease,
            poll,
            metrics,
            halt: CancellationToken::new(),
            oldest: Mutex::default(),
        }
    }

    /// Returns the token that is cancelled when the reading has to end.
    pub(super) fn halt(&self) -> &CancellationToken {
        &self.halt
    }

    /// Notes since when the oldest unit has waited.
    pub(super) fn oldest(&self, oldest: Option<SystemTime>) {
        *lock(&self.oldest) = oldest;
        self.show();
    }

    /// Runs a round under the watch; it is never dropped in the middle of a commit.
    pub(super) async fn over<T>(
        &self,
        shutdown: &CancellationToken,
        round: impl Future<Output = T>,
    ) -> T {
        let mut round = std::pin::pin!(round);
        tokio::select! {
            outcome = &mut round => return outcome,
            () = self.keep() => {}
            () = shutdown.cancelled() => {}
        }
        self.halt.cancel();
        round.await
    }

    /// Returns once the source is not to be read any more.
    async fn keep(&self) {
        let term = self.lease.term_length();
        let mut kept = Instant::now();
        loop {
            sleep(self.poll.min(term / RENEWALS)).await;
            self.show();
            let is_due = kept.elapsed() >= term / RENEWALS;
            let state = match is_due {
                true => self.store.keep(self.lease).await,
                false => self.store.state(self.lease).await,
            };
            match state {
                Ok(State::Running) if is_due => kept = Instant::now(),
                Ok(State::Running) => {}
                Ok(_) | Err(StoreError::LeaseLost) => return,
                // Another process may take it over from then on.
                Err(_) if kept.elapsed() >= term => return,
                Err(_) => {}
            }
        }
    }

    fn show(&self) {
        let oldest = *lock(&self.oldest);
        let age = oldest.map(since).unwrap_or_default();
        self.metrics.age.set(age.as_secs_f64());
    }
}
