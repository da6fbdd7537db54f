//! Decides requests: from leases, by asking the store, or alone.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chassis::Process;
use contract::WhenAway;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use valkey::Valkey;

use crate::budget::{Budget, Rule};
use crate::clock::Clock;
use crate::lease::{Account, Gate, Known};
use crate::limit::{Limit, Outcome, Standing};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::{Question, Store};
use crate::table::{State, Table};

mod settling;

use settling::Settling;

/// Decides requests; clones share their counts.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Table,
    clock: Clock,
    store: Option<Store>,
    settling: Settling,
    metrics: Metrics,
    hasher: RandomState,
    sequence: AtomicU64,
    lease: u64,
    processes: u64,
}

/// A limit and the subject that is counted.
#[derive(Clone)]
struct Counted {
    limit: Limit,
    hash: u64,
    key: String,
}

// === impl Limiter ===

impl Limiter {
    /// Creates the limiter of a process, with its metrics and the task that settles leases. Without
    /// a store it counts alone.
    pub fn open(process: &Process, settings: &Settings, valkey: Option<Valkey>) -> Self {
        let limiter = Self::new(settings, valkey, Clock::system());
        let metrics = limiter.shared.metrics.clone();
        process.metrics().extend(move |out| metrics.write(out));
        let (settling, shutdown) = (limiter.clone(), process.shutdown());
        process.spawn("quota", async move {
            settling.settle(shutdown).await;
            Ok::<_, std::convert::Infallible>(())
        });
        limiter
    }

    /// Creates a limiter whose leases are settled while [`settle`](Self::settle) runs.
    pub fn new(settings: &Settings, valkey: Option<Valkey>, clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: Table::new(settings.max_subjects),
                clock,
                store: valkey.map(Store::new),
                settling: Settling::default(),
                metrics: Metrics::default(),
                hasher: RandomState::new(),
                sequence: AtomicU64::new(1),
                lease: crate::clock::millis(settings.lease()),
                processes: settings.processes,
            }),
        }
    }

    /// Takes `cost` units of a subject's budget. It waits for the store at most as long as that may
    /// take to answer.
    pub async fn charge(&self, limit: &Limit, subject: &str, cost: u64) -> Outcome {
        let outcome = self.decide(limit, subject, cost).await;
        let counters = limit.counters(&self.shared.metrics);
        match outcome {
            Outcome::Admitted(_) => counters.allowed.inc(),
            Outcome::Refused(..) | Outcome::Unavailable => counters.refused.inc(),
        };
        outcome
    }

    /// Puts back what a request has not used, because another limit refused it.
    pub fn refund(&self, limit: &Limit, subject: &str, cost: u64) {
        let now = self.shared.clock.now();
        let hash = self.hash(limit, subject);
        self.shared.table.find(hash, |state| match state {
            State::Own(rule, budget) => rule.put(budget, cost),
            State::Shared(_, _, account) => account.refund(now, cost),
        });
    }

    /// Gives back what is unspent of leases before they end, until `shutdown`; then all of it.
    pub async fn settle(&self, shutdown: CancellationToken) {
        if let Some(store) = &self.shared.store {
            self.shared.settle(store, shutdown).await;
        }
    }

    async fn decide(&self, limit: &Limit, subject: &str, cost: u64) -> Outcome {
        let shared = &self.shared;
        let (now, hash) = (shared.clock.now(), self.hash(limit, subject));
        if cost > limit.rule.capacity {
            return Outcome::Refused(Standing::default(), None);
        }
        let Some(store) = &shared.store else {
            let make = || State::Own(limit.rule, limit.rule.full(now));
            let take = |state: &mut State| own(state, now, cost);
            return shared.table.with(hash, now, make, take).0;
        };
        let make = || State::Shared(key(store, limit, subject), limit.rule, Account::default());
        let look = |state: &mut State| match state {
            State::Shared(key, _, account) => match account.spend(now, cost) {
                Known::Unknown => Err((key.clone(), account.gate.clone())),
                known => Ok(known),
            },
            State::Own(..) => Ok(Known::Unknown),
        };
        let (looked, replaced) = shared.table.with(hash, now, make, look);
        shared.give_up(replaced);
        let (key, gate) = match looked {
            Ok(known) => return outcome(known),
            Err(unknown) => unknown,
        };
        if !store.valkey().is_available() {
            return shared.alone(limit, hash, cost);
        }
        let counted = Counted {
            limit: limit.clone(),
            hash,
            key,
        };
        let waiting = Waiting::new(&gate, cost);
        let asking = shared.clone().in_turn(counted, gate.clone(), cost);
        let known = timeout(store.valkey().response_timeout(), asking).await;
        drop(waiting);
        match known {
            Ok(Some(known)) => outcome(known),
            Ok(None) | Err(_) => shared.alone(limit, hash, cost),
        }
    }

    /// Subjects are told apart by a keyed hash: no one can choose one that meets another's.
    fn hash(&self, limit: &Limit, subject: &str) -> u64 {
        self.shared.hasher.hash_one((&limit.id, subject))
    }
}

// === impl Shared ===

impl Shared {
    /// Waits for the answer to another request's question, or asks; `None`: the store does not
    /// answer.
    async fn in_turn(
        self: Arc<Self>,
        counted: Counted,
        gate: Arc<Gate>,
        cost: u64,
    ) -> Option<Known> {
        let turn = gate.turn.clone().lock_owned().await;
        let now = self.clock.now();
        let known = self.table.find(counted.hash, |state| match state {
            State::Shared(_, _, account) => account.spend(now, cost),
            State::Own(..) => Known::Unknown,
        });
        if let Some(known @ (Known::Admitted(_) | Known::Refused(..))) = known {
            return Some(known);
        }
        let waiting = gate.waiting.load(Ordering::Relaxed);
        // A request that its caller has left must not take the answer with it.
        let asking = tokio::spawn(async move {
            let known = self.ask(&counted, cost, waiting).await;
            drop(turn);
            known
        });
        asking.await.ok().flatten()
    }

    async fn ask(&self, counted: &Counted, cost: u64, waiting: u64) -> Option<Known> {
        let (store, limit) = (self.store.as_ref()?, &counted.limit);
        let asked = self.clock.now();
        let sequence = self.next_sequence();
        let (closed, want) = self.table.find(counted.hash, |state| match state {
            State::Shared(_, _, account) => (account.close(asked), account.want.max(1)),
            State::Own(..) => (None, 1),
        })?;
        let question = Question {
            key: counted.key.clone(),
            rule: limit.rule,
            sequence,
            closed,
            need: cost,
            want: want.max(waiting).min(limit.rule.max_lease()),
            ttl: self.lease,
        };
        let grant = match store.ask(&question).await {
            Ok(grant) => grant,
            Err(error) => {
                self.metrics.lease("failed");
                tracing::debug!(%error, limit = &*limit.name, "no lease");
                return None;
            }
        };
        self.metrics.lease(match grant.granted {
            0 => "refused",
            _ => "granted",
        });
        let known = self.table.find(counted.hash, |state| match state {
            State::Shared(_, _, account) => {
                account.want = question.want;
                account.settle(&grant, sequence, asked, cost)
            }
            State::Own(..) => Known::Unknown,
        });
        if grant.granted > 0 {
            let due = asked + grant.ttl - grant.ttl / 4;
            self.settling.expect(due, counted.hash, sequence);
        }
        known
    }

    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Decides while the store is away.
    fn alone(&self, limit: &Limit, hash: u64, cost: u64) -> Outcome {
        limit.counters(&self.metrics).degraded.inc();
        match limit.when_away {
            WhenAway::Closed => Outcome::Unavailable,
            WhenAway::Open => Outcome::Admitted(Standing::default()),
            WhenAway::LocalShare => {
                let (now, processes) = (self.clock.now(), self.processes);
                let share = limit.rule.share(processes);
                let decided = self.table.find(hash, |state| match state {
                    State::Shared(_, _, account) => {
                        let budget = account.share(&share, processes, now);
                        decide(&share, budget, now, cost)
                    }
                    State::Own(..) => Outcome::Unavailable,
                });
                decided.unwrap_or(Outcome::Unavailable)
            }
        }
    }

    /// Has the lease of a subject settled that had to make room.
    fn give_up(&self, replaced: Option<State>) {
        if let Some(State::Shared(key, rule, mut account)) = replaced
            && let Some(closed) = account.close(self.clock.now())
        {
            self.settling.now(key, closed, rule);
        }
    }
}

/// A request that waits for an answer of the store.
struct Waiting<'a> {
    gate: &'a Gate,
    cost: u64,
}

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate, cost: u64) -> Self {
        gate.waiting.fetch_add(cost, Ordering::Relaxed);
        Self { gate, cost }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

fn own(state: &mut State, now: u64, cost: u64) -> Outcome {
    match state {
        State::Own(rule, budget) => decide(rule, budget, now, cost),
        State::Shared(..) => Outcome::Unavailable,
    }
}

fn decide(rule: &Rule, budget: &mut Budget, now: u64, cost: u64) -> Outcome {
    rule.refresh(budget, now);
    let is_taken = rule.take(budget, cost);
    let standing = Standing {
        remaining: rule.available(budget),
        reset: Duration::from_millis(rule.reset(budget, now)),
    };
    match is_taken {
        true => Outcome::Admitted(standing),
        false => {
            let wait = Duration::from_millis(rule.wait(budget, now, cost));
            Outcome::Refused(standing, Some(wait))
        }
    }
}

fn outcome(known: Known) -> Outcome {
    match known {
        Known::Admitted(standing) => Outcome::Admitted(standing),
        Known::Refused(standing, wait) => {
            Outcome::Refused(standing, Some(Duration::from_millis(wait)))
        }
        Known::Unknown => Outcome::Unavailable,
    }
}

/// The key of a budget. The store learns no name or address of a caller.
fn key(store: &Store, limit: &Limit, subject: &str) -> String {
    let digest = Sha256::digest(subject);
    let subject: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    store.valkey().key(&["limit", &limit.id, &subject])
}
