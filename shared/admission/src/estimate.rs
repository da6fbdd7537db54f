//! Service times: moving averages by client and class, by class, and of all calls.

use std::collections::HashMap;
use std::time::Duration;

/// Averages kept at once; beyond it all start anew from the average of all calls.
const MAX_CLASSES: usize = 4096;

/// Samples over which an expectation averages.
const FAST: f64 = 32.0;

/// The average service time of one class, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Average {
    samples: f64,
    fast: f64,
    /// Mean square of the deviation from `fast`.
    spread: f64,
}

/// The expected service times.
#[derive(Debug, Default)]
pub(crate) struct Estimates {
    all: Average,
    classes: HashMap<u64, Average>,
}

/// The names of a call's averages, the most exact first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) of_client: u64,
    pub(crate) of_class: u64,
}

// === impl Estimates ===

impl Estimates {
    pub(crate) fn observe(&mut self, keys: Keys, took: Duration) {
        if self.classes.len() >= MAX_CLASSES {
            self.classes.clear();
        }
        let took = took.as_secs_f64();
        self.all.observe(took);
        for key in [keys.of_client, keys.of_class] {
            self.classes.entry(key).or_default().observe(took);
        }
    }

    /// Returns the service time to expect; zero before the first sample.
    pub(crate) fn expected(&self, keys: Keys) -> Duration {
        Duration::from_secs_f64(self.find(keys).fast)
    }

    /// Returns the mean service time of all calls.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.all.fast)
    }

    /// Returns the square of the coefficient of variation of all calls.
    pub(crate) fn variation(&self) -> f64 {
        match self.all.fast {
            mean if mean > 0.0 => self.all.spread / (mean * mean),
            _ => 0.0,
        }
    }

    fn find(&self, keys: Keys) -> Average {
        let known = |key| self.classes.get(&key).copied();
        let of_client = known(keys.of_client).filter(|average| average.samples >= 4.0);
        of_client
            .or_else(|| known(keys.of_class))
            .unwrap_or(self.all)
    }
}

// === impl Average ===

impl Average {
    fn observe(&mut self, took: f64) {
        self.samples += 1.0;
        let deviation = took - self.fast;
        let part = self.samples.min(FAST);
        self.fast += deviation / part;
        self.spread += (deviation * deviation - self.spread) / part;
    }
}
