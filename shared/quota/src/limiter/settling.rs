//! Gives units back to the store that a process will not spend.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use rpc::lock::lock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::budget::Rule;
use crate::lease::Account;
use crate::store::{Question, Store};
use crate::table::State;

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(50);
/// Leases that are settled at once.
const CONCURRENT: usize = 64;
/// Leases that wait to be settled; further ones end unsettled.
const BOUND: usize = 100_000;

/// The leases to settle.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// In the order of their ends, as all last equally long, but for those at the end of a window.
    expected: Mutex<VecDeque<Expected>>,
    /// Leases of subjects that had to make room.
    ended: Mutex<Vec<Ended>>,
}

/// The key of a budget, the number of a lease with what was not spent, and the rule.
type Ended = (String, (u64, u64), Rule);

#[derive(Clone, Copy, Debug)]
struct Expected {
    due: u64,
    hash: u64,
    sequence: u64,
}

// === impl Settling ===

impl Settling {
    pub(super) fn expect(&self, due: u64, hash: u64, sequence: u64) {
        let mut expected = lock(&self.expected);
        if expected.len() < BOUND {
            expected.push_back(Expected {
                due,
                hash,
                sequence,
            });
        }
    }

    pub(super) fn now(&self, key: String, closed: (u64, u64), rule: Rule) {
        let mut ended = lock(&self.ended);
        if ended.len() < BOUND {
            ended.push((key, closed, rule));
        }
    }

    fn due(&self, now: u64) -> Vec<Expected> {
        let mut expected = lock(&self.expected);
        let due = expected.iter().take_while(|lease| lease.due <= now).count();
        expected.drain(..due).collect()
    }
}

// === impl Shared ===

impl Shared {
    pub(super) async fn settle(&self, store: &Store, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(sleep(PAUSE)).await.is_some() {
            self.settle_due(store, self.clock.now()).await;
        }
        self.settle_due(store, u64::MAX).await;
    }

    async fn settle_due(&self, store: &Store, due: u64) {
        let ended = std::mem::take(&mut *lock(&self.settling.ended));
        let ended = stream::iter(ended);
        let all = ended.for_each_concurrent(CONCURRENT, |(key, closed, rule)| {
            self.give_back(store, key, closed, rule)
        });
        all.await;
        let due = stream::iter(self.settling.due(due));
        let all = due.for_each_concurrent(CONCURRENT, |lease| self.end(store, lease));
        all.await;
    }

    /// Ends a lease before the store does, unless another one is in its place.
    async fn end(&self, store: &Store, lease: Expected) {
        let gate = self.table.find(lease.hash, |state| match state {
            State::Shared(_, _, account) if is_of(account, lease.sequence) => {
                Some(account.gate.clone())
            }
            _ => None,
        });
        let Some(gate) = gate.flatten() else {
            return;
        };
        // A question that is asked meanwhile would not know what was spent.
        let _turn = gate.turn.lock().await;
        let closed = self.table.find(lease.hash, |state| match state {
            State::Shared(key, rule, account) if is_of(account, lease.sequence) => {
                let closed = account.close(self.clock.now());
                closed.map(|closed| (key.clone(), closed, *rule))
            }
            _ => None,
        });
        if let Some((key, closed, rule)) = closed.flatten() {
            self.give_back(store, key, closed, rule).await;
        }
    }

    async fn give_back(&self, store: &Store, key: String, closed: (u64, u64), rule: Rule) {
        let question = Question {
            key,
            rule,
            sequence: self.next_sequence(),
            closed: Some(closed),
            need: 0,
            want: 0,
            ttl: self.lease,
        };
        let outcome = match store.ask(&question).await {
            Ok(_) => "settled",
            Err(_) => "unsettled",
        };
        self.metrics.lease(outcome);
    }
}

fn is_of(account: &Account, sequence: u64) -> bool {
    account
        .lease
        .is_some_and(|lease| lease.sequence == sequence)
}
