//! A map of values that expire, with a bound on their number.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts with a lock of their own, so that cores seldom wait for each other.
const PARTS: usize = 16;
/// Most values of one part: 16,384 in all.
const PART_MAX: usize = 1024;

/// Values by the hash of their key; the caller compares the key itself.
pub(super) struct Bounded<V> {
    hasher: RandomState,
    parts: [Mutex<HashMap<u64, V>>; PARTS],
}

/// A value that is of no use after a time.
pub(super) trait Expiring {
    /// Returns whether it can be dropped, at this Unix time in seconds.
    fn is_over(&self, now: u64) -> bool;
}

// === impl Bounded ===

impl<V: Expiring> Bounded<V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }

    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Reads the value of a hash, if `found` makes something of it.
    pub(super) fn get<T>(&self, hash: u64, found: impl FnOnce(&V) -> Option<T>) -> Option<T> {
        self.part(hash).get(&hash).and_then(found)
    }

    /// Keeps a value, in place of those that are over, and of all others if there are too many.
    pub(super) fn insert(&self, hash: u64, value: V, now: u64) {
        let mut part = self.part(hash);
        if part.len() >= PART_MAX {
            part.retain(|_, value| !value.is_over(now));
        }
        if part.len() >= PART_MAX {
            part.clear();
        }
        part.insert(hash, value);
    }

    pub(super) fn clear(&self) {
        for part in &self.parts {
            locked(part).clear();
        }
    }

    fn part(&self, hash: u64) -> MutexGuard<'_, HashMap<u64, V>> {
        // The map uses the other bits.
        locked(&self.parts[(hash >> 60) as usize % PARTS])
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Expiring for u64 {
        fn is_over(&self, now: u64) -> bool {
            *self < now
        }
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let values = Bounded::new();
        for number in 0..100_000_u64 {
            values.insert(values.hash(number), number, 0);
        }
        let kept: usize = values.parts.iter().map(|part| locked(part).len()).sum();
        assert!((1..=PARTS * PART_MAX).contains(&kept), "{kept}");
    }
}
