//! Full-jitter exponential back-off.

use std::time::Duration;

use rand::Rng as _;

/// Pauses drawn evenly from zero to a bound that doubles ("full jitter", which spreads retries best).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
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
}
