//! Full-jitter exponential backoff, and the budget of a failing handler.

use std::time::Duration;

use rand::Rng as _;

use crate::Settings;

/// Attempts that no message gets more of, however quickly they fail and however short the pauses happen to be.
pub(crate) const MAX_ATTEMPTS: u32 = 1000;

/// Pauses drawn evenly from zero to a bound that doubles ("full jitter", which spreads retries best).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
}

/// What a failing message may still cost before its key is parked: attempts and time, both.
#[derive(Debug)]
pub(crate) struct Budget {
    attempts: u32,
    spent: Duration,
    max_attempts: u32,
    max_spent: Duration,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// Returns the pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        rand::rng().random_range(Duration::ZERO..=self.bound(failures))
    }

    fn bound(&self, failures: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            attempts: 0,
            spent: Duration::ZERO,
            max_attempts: settings.retry_attempts,
            max_spent: Duration::from_millis(settings.retry_budget_ms),
        }
    }

    /// Counts one failed attempt and the time it took.
    pub(crate) fn failed(&mut self, took: Duration) {
        self.attempts += 1;
        self.spent += took;
    }

    /// Counts a pause before the next attempt.
    pub(crate) fn paused(&mut self, pause: Duration) {
        self.spent += pause;
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn is_spent(&self) -> bool {
        let both = self.attempts >= self.max_attempts && self.spent >= self.max_spent;
        both || self.attempts >= MAX_ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

    proptest! {
        #[test]
        fn pauses_stay_below_their_bound(failures in 0_u32..200) {
            prop_assert!(BACKOFF.pause(failures) <= BACKOFF.bound(failures));
            prop_assert!(BACKOFF.bound(failures) <= BACKOFF.bound(failures + 1));
        }
    }

    #[test]
    fn bounds_double_up_to_the_longest() {
        let bounds = [1, 2, 3, 7, 8, 64].map(|failures| BACKOFF.bound(failures).as_millis());
        assert_eq!(bounds, [50, 100, 200, 3200, 5000, 5000]);
    }

    fn budget(retry_attempts: u32, retry_budget_ms: u64) -> Budget {
        Budget::new(&Settings {
            retry_attempts,
            retry_budget_ms,
            ..Settings::default()
        })
    }

    #[test]
    fn budgets_end_when_attempts_and_time_are_spent() {
        let mut quick = budget(2, 1000);
        quick.failed(Duration::from_millis(400));
        quick.failed(Duration::from_millis(400));
        quick.paused(Duration::from_millis(199));
        assert!(!quick.is_spent());
        quick.paused(Duration::from_millis(1));
        assert!(quick.is_spent());

        let mut slow = budget(2, 1000);
        slow.failed(Duration::from_secs(30));
        assert!(!slow.is_spent());
        slow.failed(Duration::ZERO);
        assert!(slow.is_spent());
    }

    #[test]
    fn budgets_end_even_if_no_time_passes() {
        let mut budget = budget(2, 1000);
        let attempts = (1..).find(|_| {
            budget.failed(Duration::ZERO);
            budget.is_spent()
        });
        assert_eq!(attempts, Some(MAX_ATTEMPTS));
    }
}
