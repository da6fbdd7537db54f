//! The cost of one evaluation, counted while it runs: the engine has no budget.

use std::sync::atomic::{AtomicU64, Ordering};

use cel_engine::ExecutionError;

use crate::limits::{MAX_STEPS, STEP_BYTES};

/// The steps of one evaluation. Evaluations don't share it; it is atomic because values have to be
/// shareable.
#[derive(Debug, Default)]
pub struct Meter {
    spent: AtomicU64,
}

// === impl Meter ===

impl Meter {
    /// Returns the steps so far.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Returns whether the evaluation has spent more than [`MAX_STEPS`].
    pub(crate) fn is_exceeded(&self) -> bool {
        self.spent() > MAX_STEPS
    }

    /// Counts steps; returns whether the evaluation may go on.
    pub(crate) fn step(&self, count: u64) -> bool {
        let before = self.spent.fetch_add(count, Ordering::Relaxed);
        before.saturating_add(count) <= MAX_STEPS
    }

    /// Counts a look at so many bytes.
    pub(crate) fn bytes(&self, length: usize) -> Result<(), ExecutionError> {
        self.spend(1 + (length / STEP_BYTES) as u64)
    }

    pub(crate) fn spend(&self, count: u64) -> Result<(), ExecutionError> {
        match self.step(count) {
            true => Ok(()),
            false => Err(ExecutionError::function_error("", "too expensive")),
        }
    }
}
