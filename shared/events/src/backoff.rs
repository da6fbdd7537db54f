//! Full-jitter exponential backoff, and the budget of a failing handler.

use std::time::Duration;

use rand::Rng as _;

use crate::Settings;

/// Pauses drawn evenly from zero to a bound that doubles ("full jitter", which spreads retries best).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
}

/// What a failing message may still cost before its key is parked.
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
        self.attempts >= self.max_attempts || self.spent >= self.max_spent
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

    #[test]
    fn budgets_end_by_count_and_by_time() {
        let settings = Settings {
            retry_attempts: 3,
            retry_budget_ms: 1000,
            ..Settings::default()
        };
        let mut by_count = Budget::new(&settings);
        let spent = [(); 3].map(|()| {
            by_count.failed(Duration::from_millis(1));
            by_count.is_spent()
        });
        assert_eq!(spent, [false, false, true]);

        let mut by_time = Budget::new(&settings);
        by_time.failed(Duration::from_millis(400));
        by_time.paused(Duration::from_millis(599));
        assert!(!by_time.is_spent());
        by_time.paused(Duration::from_millis(1));
        assert!(by_time.is_spent());
    }
}
