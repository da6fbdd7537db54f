//! The units that a process holds of a shared budget.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::budget::{Budget, Rule};
use crate::limit::Standing;

/// Longest time that a refusal stands without asking again, in milliseconds.
const REFUSAL_MS: u64 = 100;

/// Units that may be spent without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The number of the lease: each of a process has a higher one.
    pub(crate) sequence: u64,
    pub(crate) left: u64,
    /// The millisecond after which none may be spent: before the store takes them back.
    pub(crate) until: u64,
}

/// The knowledge of a process about a subject's shared budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) lease: Option<Lease>,
    /// Units to ask for next: they double while leases are used up.
    pub(crate) want: u64,
    /// The last refusal: until when it stands, which cost it is for, when units are there again.
    refusal: Option<Refusal>,
    /// Units that were left in the store, and the millisecond when all of them are back.
    remaining: u64,
    reset_at: u64,
    /// Counts alone while the store is away.
    pub(crate) share: Option<Budget>,
    pub(crate) gate: Arc<Gate>,
}

/// One question about a subject is asked at a time; other requests wait for its answer.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// Units that waiting requests need.
    pub(crate) waiting: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    until: u64,
    cost: u64,
    ready_at: u64,
}

/// An answer of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) granted: u64,
    /// How long the lease lasts, in milliseconds.
    pub(crate) ttl: u64,
    pub(crate) remaining: u64,
    /// Milliseconds until the asked units are there.
    pub(crate) wait: u64,
    /// Milliseconds until the budget is full.
    pub(crate) reset: u64,
}

/// The decision that an account can make alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Admitted(Standing),
    /// With the milliseconds to wait.
    Refused(Standing, u64),
    /// The store has to be asked.
    Unknown,
}

// === impl Account ===

impl Account {
    /// Spends of the lease, or repeats a refusal that still stands.
    pub(crate) fn spend(&mut self, now: u64, cost: u64) -> Known {
        if let Some(lease) = &mut self.lease
            && now < lease.until
            && lease.left >= cost
        {
            lease.left -= cost;
            return Known::Admitted(self.standing(now));
        }
        match &self.refusal {
            Some(refusal) if now < refusal.until && cost >= refusal.cost => Known::Refused(
                self.standing(now),
                refusal.ready_at.saturating_sub(now).max(1),
            ),
            _ => Known::Unknown,
        }
    }

    /// Ends the lease; returns its number and what was not spent.
    pub(crate) fn close(&mut self, now: u64) -> Option<(u64, u64)> {
        let lease = self.lease.take()?;
        if lease.left == 0 && now < lease.until {
            self.want = self.want.saturating_mul(2);
        } else if lease.left > 0 {
            self.want = (self.want / 2).max(1);
        }
        Some((lease.sequence, lease.left))
    }

    /// Records the answer to a question that was asked at `asked` for `cost`, and spends that.
    pub(crate) fn settle(&mut self, grant: &Grant, sequence: u64, asked: u64, cost: u64) -> Known {
        self.remaining = grant.remaining;
        self.reset_at = asked + grant.reset;
        self.share = None;
        if grant.granted < cost {
            self.refusal = Some(Refusal {
                until: asked + grant.wait.min(REFUSAL_MS),
                cost,
                ready_at: asked + grant.wait,
            });
            return Known::Refused(self.standing(asked), grant.wait.max(1));
        }
        self.refusal = None;
        self.lease = Some(Lease {
            sequence,
            left: grant.granted - cost,
            until: asked + grant.ttl,
        });
        Known::Admitted(self.standing(asked))
    }

    /// Puts back what a request has not used, if its lease is still there.
    pub(crate) fn refund(&mut self, now: u64, cost: u64) {
        if let Some(lease) = self.lease.as_mut().filter(|lease| now < lease.until) {
            lease.left += cost;
        }
    }

    /// Returns the budget that this process has for itself while the store is away: its part of
    /// what was left when the store last answered, or an unused one.
    pub(crate) fn share(&mut self, share: &Rule, processes: u64, now: u64) -> &mut Budget {
        let (remaining, is_known) = (self.remaining, now < self.reset_at);
        self.share.get_or_insert_with(|| {
            let mut budget = share.full(now);
            if is_known {
                let used = share.capacity.saturating_sub(remaining / processes);
                share.take(&mut budget, used);
            }
            budget
        })
    }

    /// Returns whether forgetting it loses nothing that others need.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        let lease = self.lease.as_ref();
        Arc::strong_count(&self.gate) == 1 && lease.is_none_or(|lease| lease.until <= now)
    }

    fn standing(&self, now: u64) -> Standing {
        let leased = self.lease.as_ref().map_or(0, |lease| lease.left);
        Standing {
            remaining: self.remaining + leased,
            reset: std::time::Duration::from_millis(self.reset_at.saturating_sub(now)),
        }
    }
}

#[cfg(test)]
mod tests;
