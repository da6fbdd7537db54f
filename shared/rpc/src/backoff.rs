//! The pause before the next attempt: exponential, bounded, jittered.

use std::time::Duration;

/// Exponential back-off: a bound that doubles from `first` to `longest`, and a random pause below it.
///
/// ```
/// use std::time::Duration;
/// use rpc::backoff::Backoff;
///
/// const CONNECT: Backoff = Backoff::equal_jitter(Duration::from_millis(20), Duration::from_secs(2));
///
/// let pause = CONNECT.pause(3);
/// assert!((40..=80).contains(&pause.as_millis()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    Full,
    Equal,
}

// === impl Backoff ===

impl Backoff {
    /// Creates a back-off that draws pauses evenly from zero to the bound. It spreads retries of many callers best.
    pub const fn full_jitter(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            jitter: Jitter::Full,
        }
    }

    /// Creates a back-off whose pauses are at least half of the bound. It guarantees a pause, for work that a busy loop would
    /// harm, such as connecting or starting a process.
    pub const fn equal_jitter(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            jitter: Jitter::Equal,
        }
    }

    /// Returns the pause after so many failures in a row, counted from 1; 0 is read as 1.
    pub fn pause(&self, failures: u32) -> Duration {
        let bound = self.bound(failures);
        match self.jitter {
            Jitter::Full => bound.mul_f64(rand::random_range(0.0..=1.0)),
            Jitter::Equal => bound.mul_f64(rand::random_range(0.5..=1.0)),
        }
    }

    /// Returns the longest pause after so many failures in a row.
    pub fn bound(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(failures in 0_u32..200) {
            let full = Backoff::full_jitter(FIRST, LONGEST);
            let equal = Backoff::equal_jitter(FIRST, LONGEST);
            prop_assert!(full.pause(failures) <= full.bound(failures));
            prop_assert!(equal.pause(failures) <= equal.bound(failures));
            prop_assert!(equal.pause(failures) >= equal.bound(failures) / 2);
            prop_assert!(full.bound(failures) <= full.bound(failures + 1));
        }
    }

    #[test]
    fn bounds_double_up_to_the_longest() {
        let backoff = Backoff::full_jitter(FIRST, LONGEST);
        let bounds =
            [0, 1, 2, 3, 7, 8, 64, u32::MAX].map(|failures| backoff.bound(failures).as_millis());
        assert_eq!(bounds, [50, 50, 100, 200, 3200, 5000, 5000, 5000]);
    }
}
