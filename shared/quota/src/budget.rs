//! The arithmetic of token buckets and fixed windows, in whole numbers. The store's script does
//! the same.

use contract::RateLimit;

use crate::clock::millis;

/// Part of a limit that one lease may hold at most.
const LEASE_PART: u64 = 16;

/// How many units there are in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether units come back all at once, at the end of a window.
    pub is_window: bool,
    /// Units that come in a period.
    pub units: u64,
    /// The period, in milliseconds.
    pub period: u64,
    /// Most units at once.
    pub capacity: u64,
}

/// The units that a subject has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Units; those of a bucket times the milliseconds of its period.
    pub(crate) level: u64,
    /// Millisecond of a bucket's level; the number of a window.
    pub(crate) at: u64,
}

// === impl Rule ===

impl Rule {
    /// Returns the rule of a limit.
    pub fn of(limit: &RateLimit) -> Self {
        Self {
            is_window: limit.is_window,
            units: limit.requests.max(1),
            period: millis(limit.period).max(1),
            capacity: limit.burst.max(1),
        }
    }

    /// Returns the part of the rule that one of `processes` has for itself.
    pub(crate) fn share(&self, processes: u64) -> Self {
        if self.is_window {
            let units = (self.units / processes).max(1);
            return Self {
                units,
                capacity: units,
                ..*self
            };
        }
        Self {
            period: self.period.saturating_mul(processes),
            capacity: (self.capacity / processes).max(1),
            ..*self
        }
    }

    /// Returns the most units of a lease, unless one request costs more.
    pub fn max_lease(&self) -> u64 {
        (self.capacity / LEASE_PART).max(1)
    }

    /// Returns an unused budget.
    pub fn full(&self, now: u64) -> Budget {
        Budget {
            level: self.capacity * self.unit(),
            at: self.stamp(now),
        }
    }

    /// Brings a budget up to date. A clock that has gone back changes nothing.
    pub fn refresh(&self, budget: &mut Budget, now: u64) {
        let stamp = self.stamp(now);
        if stamp <= budget.at {
            return;
        }
        let full = self.capacity * self.unit();
        budget.level = match self.is_window {
            true => full,
            false => {
                let come = (stamp - budget.at).saturating_mul(self.units);
                budget.level.saturating_add(come).min(full)
            }
        };
        budget.at = stamp;
    }

    /// Returns the units that are there.
    pub fn available(&self, budget: &Budget) -> u64 {
        budget.level / self.unit()
    }

    /// Takes units if there are as many; returns whether.
    pub fn take(&self, budget: &mut Budget, units: u64) -> bool {
        let found = units.checked_mul(self.unit());
        let left = found.and_then(|wanted| budget.level.checked_sub(wanted));
        if let Some(left) = left {
            budget.level = left;
        }
        left.is_some()
    }

    /// Puts units back that were taken.
    pub fn put(&self, budget: &mut Budget, units: u64) {
        let back = units.saturating_mul(self.unit());
        let full = self.capacity * self.unit();
        budget.level = budget.level.saturating_add(back).min(full);
    }

    /// Returns the milliseconds until there are so many units.
    pub fn wait(&self, budget: &Budget, now: u64, units: u64) -> u64 {
        let lacking = units.saturating_mul(self.unit());
        let lacking = lacking.saturating_sub(budget.level);
        match (lacking, self.is_window) {
            (0, _) => 0,
            (_, true) => ((budget.at + 1) * self.period).saturating_sub(now),
            (lacking, false) => lacking.div_ceil(self.units),
        }
    }

    /// Returns the milliseconds until the budget is full again.
    pub fn reset(&self, budget: &Budget, now: u64) -> u64 {
        self.wait(budget, now, self.capacity)
    }

    fn unit(&self) -> u64 {
        match self.is_window {
            true => 1,
            false => self.period,
        }
    }

    fn stamp(&self, now: u64) -> u64 {
        match self.is_window {
            true => now / self.period,
            false => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(is_window: bool, units: u64, period: u64, capacity: u64) -> Rule {
        Rule {
            is_window,
            units,
            period,
            capacity: if is_window { units } else { capacity },
        }
    }

    proptest! {
        /// Whatever the order of requests, a bucket admits in any interval no more than its
        /// capacity and what has come; and it refuses only what is not there.
        #[test]
        fn a_bucket_admits_its_capacity_and_its_rate(
            units in 1..1000_u64,
            period in 1..100_000_u64,
            capacity in 1..1000_u64,
            steps in proptest::collection::vec((0..2000_u64, 1..20_u64), 1..200),
        ) {
            let rule = rule(false, units, period, capacity);
            let mut budget = rule.full(0);
            let (mut now, mut taken) = (0, 0);
            for (pause, cost) in steps {
                now += pause;
                rule.refresh(&mut budget, now);
                let there = rule.available(&budget);
                let is_taken = rule.take(&mut budget, cost);
                prop_assert_eq!(is_taken, cost <= there);
                if is_taken {
                    taken += cost;
                } else if cost <= capacity {
                    let wait = rule.wait(&budget, now, cost);
                    let mut later = budget;
                    rule.refresh(&mut later, now + wait - 1);
                    prop_assert!(rule.available(&later) < cost);
                    rule.refresh(&mut later, now + wait);
                    prop_assert!(rule.available(&later) >= cost);
                }
                prop_assert!(taken * period <= capacity * period + now * units);
            }
        }

        #[test]
        fn a_window_admits_its_quota(
            units in 1..100_u64,
            period in 1..5000_u64,
            steps in proptest::collection::vec((0..1000_u64, 1..5_u64), 1..200),
        ) {
            let rule = rule(true, units, period, units);
            let (mut now, mut window, mut taken) = (0, 0, 0);
            let mut budget = rule.full(now);
            for (pause, cost) in steps {
                now += pause;
                if now / period != window {
                    (window, taken) = (now / period, 0);
                }
                rule.refresh(&mut budget, now);
                let is_taken = rule.take(&mut budget, cost);
                prop_assert_eq!(is_taken, taken + cost <= units);
                taken += if is_taken { cost } else { 0 };
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let rule = rule(false, 10, 1000, 10);
        let mut budget = rule.full(5000);
        assert!(rule.take(&mut budget, 10));
        rule.refresh(&mut budget, 1000);
        assert_eq!(rule.available(&budget), 0);
        rule.refresh(&mut budget, 5100);
        assert_eq!(rule.available(&budget), 1);
    }
}
