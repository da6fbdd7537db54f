//! The budget of a failing message: attempts and time, both.

use std::time::Duration;

use facts::settings::{MAX_ATTEMPTS, Settings};

/// The attempts and the time that a failing message may use before its key is parked.
#[derive(Debug)]
pub(super) struct Budget {
    attempts: u32,
    spent: Duration,
    max_attempts: u32,
    max_spent: Duration,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            attempts: 0,
            spent: Duration::ZERO,
            max_attempts: settings.retry_attempts,
            max_spent: Duration::from_millis(settings.retry_budget_ms),
        }
    }

    /// Counts one failed attempt and the time it took.
    pub(super) fn failed(&mut self, took: Duration) {
        self.attempts += 1;
        self.spent += took;
    }

    /// Counts a pause before the next attempt.
    pub(super) fn paused(&mut self, pause: Duration) {
        self.spent += pause;
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn is_spent(&self) -> bool {
        let both = self.attempts >= self.max_attempts && self.spent >= self.max_spent;
        both || self.attempts >= MAX_ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
