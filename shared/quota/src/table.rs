//! Subjects in bounded memory.

use std::collections::HashMap;
use std::sync::Mutex;

use rand::Rng as _;
use rpc::lock::lock;

use crate::budget::{Budget, Rule};
use crate::lease::Account;

/// Parts with a lock each.
const SHARDS: usize = 16;
/// Subjects of which a new one replaces the least used.
const DRAWN: usize = 8;

/// The state of a subject.
#[derive(Debug)]
pub(crate) enum State {
    /// Counted here.
    Own(Rule, Budget),
    /// Counted in the store, under this key.
    Shared(String, Rule, Account),
}

/// The subjects of all limits, by a keyed hash of limit and subject.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Mutex<Shard>>,
    /// Most subjects of a shard.
    bound: usize,
}

#[derive(Debug, Default)]
struct Shard {
    places: HashMap<u64, usize>,
    subjects: Vec<(u64, State)>,
}

// === impl Table ===

impl Table {
    pub(crate) fn new(max_subjects: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            bound: max_subjects.div_ceil(SHARDS).max(1),
        }
    }

    /// Works on the state of a subject, which is made if there is none; returns the state that had
    /// to make room for it, too.
    pub(crate) fn with<T>(
        &self,
        hash: u64,
        now: u64,
        make: impl FnOnce() -> State,
        work: impl FnOnce(&mut State) -> T,
    ) -> (T, Option<State>) {
        // The map of a shard uses the lower bits.
        let shard = &self.shards[(hash >> 60) as usize % SHARDS];
        let shard = &mut *lock(shard);
        let place = shard.places.get(&hash).copied();
        let (place, replaced) = match place {
            Some(place) => (place, None),
            None => shard.insert(hash, make(), self.bound, now),
        };
        (work(&mut shard.subjects[place].1), replaced)
    }

    /// Works on the state of a subject that is known.
    pub(crate) fn find<T>(&self, hash: u64, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        let shard = &self.shards[(hash >> 60) as usize % SHARDS];
        let shard = &mut *lock(shard);
        let place = *shard.places.get(&hash)?;
        Some(work(&mut shard.subjects[place].1))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).subjects.len())
            .sum()
    }
}

// === impl Shard ===

impl Shard {
    fn insert(
        &mut self,
        hash: u64,
        state: State,
        bound: usize,
        now: u64,
    ) -> (usize, Option<State>) {
        if self.subjects.len() < bound {
            self.subjects.push((hash, state));
            let place = self.subjects.len() - 1;
            self.places.insert(hash, place);
            return (place, None);
        }
        let mut random = rand::rng();
        let drawn = (0..DRAWN).map(|_| random.random_range(0..self.subjects.len()));
        let least = drawn.min_by_key(|place| self.subjects[*place].1.used(now));
        let place = least.unwrap_or_default();
        let (old, state) = std::mem::replace(&mut self.subjects[place], (hash, state));
        self.places.remove(&old);
        self.places.insert(hash, place);
        (place, Some(state))
    }
}

// === impl State ===

impl State {
    /// Returns how much forgetting it would give away, in thousandths of its limit.
    fn used(&self, now: u64) -> u64 {
        match self {
            Self::Own(rule, budget) => {
                let mut budget = *budget;
                rule.refresh(&mut budget, now);
                let used = rule.capacity - rule.available(&budget).min(rule.capacity);
                (used * 1000).div_ceil(rule.capacity)
            }
            Self::Shared(_, _, account) if account.is_idle(now) => 0,
            Self::Shared(..) => 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        is_window: false,
        units: 10,
        period: 60_000,
        capacity: 10,
    };

    /// Subjects that come once neither lock others out nor let off those who have used much.
    #[test]
    fn a_flood_of_subjects_replaces_those_who_used_the_least() {
        let table = Table::new(1600);
        let take = |hash: u64, units: u64| {
            let make = || State::Own(RULE, RULE.full(0));
            let work = |state: &mut State| match state {
                State::Own(rule, budget) => rule.take(budget, units),
                State::Shared(..) => false,
            };
            table.with(hash, 0, make, work).0
        };
        let spread = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for heavy in 0..100 {
            assert!(take(spread(heavy), 10));
        }
        for light in 100..20_000 {
            assert!(take(spread(light), 1), "{light} is locked out");
        }
        assert!(table.len() <= 1600);
        let free = (0..100).filter(|heavy| take(spread(*heavy), 1)).count();
        assert_eq!(free, 0, "who had used all were let off");
    }
}
