//! How an endpoint is doing: load, latency, health, and whether its failures have it ejected.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::settings::ClientSettings;
use rpc::lock::lock;

/// How fast latencies are forgotten: after this time a past one has 37 % of its weight.
const LATENCY_MEMORY: Duration = Duration::from_secs(10);

/// What an endpoint that has not answered yet is taken for, once a call is on its way there.
const UNKNOWN_LATENCY: f64 = 1.0;

/// The longest ejection is this many times the first one.
const EJECTIONS_MAX: u32 = 10;

/// Counted by calls, read when one of several endpoints is picked.
pub(crate) struct Standing {
    in_flight: AtomicUsize,
    latency: Mutex<Latency>,
    failures: AtomicU32,
    is_unhealthy: AtomicBool,
    ejection: Mutex<Ejection>,
}

/// Peak-sensitive exponentially weighted moving average, in seconds: slowness counts at once, recovery by and by.
struct Latency {
    average: f64,
    at: Instant,
}

#[derive(Default)]
struct Ejection {
    until: Option<Instant>,
    /// Ejections without a good answer in between.
    count: u32,
}

impl Standing {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// What one more call there would cost; lower is better.
    pub(crate) fn cost(&self) -> f64 {
        let calls = self.in_flight.load(Ordering::Relaxed) as f64;
        let latency = lock(&self.latency).now();
        if latency > 0.0 {
            latency * (calls + 1.0)
        } else {
            UNKNOWN_LATENCY * calls
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.is_unhealthy.load(Ordering::Relaxed) && !self.is_ejected()
    }

    pub(crate) fn is_ejected(&self) -> bool {
        lock(&self.ejection)
            .until
            .is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn set_healthy(&self, is_healthy: bool) -> bool {
        self.is_unhealthy.swap(!is_healthy, Ordering::Relaxed) == is_healthy
    }

    /// Notes an answer, whatever it says, after `latency`.
    pub(crate) fn answered(&self, latency: Duration) {
        lock(&self.latency).observe(latency.as_secs_f64());
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            lock(&self.ejection).count = 0;
        }
    }

    /// Notes that there was no answer, or none of use. Returns whether that makes enough of them to eject it.
    pub(crate) fn failed(&self, after: Duration, settings: &ClientSettings) -> bool {
        let mut latency = lock(&self.latency);
        // To fail fast must not look like being fast.
        let seconds = after.as_secs_f64().max(latency.average);
        latency.observe(seconds);
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        settings.eject_after > 0 && failures >= settings.eject_after
    }

    /// Notes that nobody waited longer than this for an answer, which took at least as long.
    pub(crate) fn given_up(&self, after: Duration) {
        let mut latency = lock(&self.latency);
        if after.as_secs_f64() > latency.average {
            latency.observe(after.as_secs_f64());
        }
    }

    /// Ejects it for a time that grows from one ejection to the next.
    pub(crate) fn eject(&self, settings: &ClientSettings) -> Duration {
        let mut ejection = lock(&self.ejection);
        ejection.count = (ejection.count + 1).min(EJECTIONS_MAX);
        let full = Duration::from_millis(settings.eject_ms) * ejection.count;
        let time = full.mul_f64(rand::random_range(0.8..=1.2));
        ejection.until = Some(Instant::now() + time);
        // The next ejection takes new failures.
        self.failures.store(1, Ordering::Relaxed);
        time
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            latency: Mutex::new(Latency {
                average: 0.0,
                at: Instant::now(),
            }),
            failures: AtomicU32::new(0),
            is_unhealthy: AtomicBool::new(false),
            ejection: Mutex::default(),
        }
    }
}

impl Latency {
    fn weight(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        (-passed.as_secs_f64() / LATENCY_MEMORY.as_secs_f64()).exp()
    }

    /// Decays without observations too: an endpoint that was slow and gets no calls has to be tried again some time.
    fn now(&self) -> f64 {
        self.average * self.weight(Instant::now())
    }

    fn observe(&mut self, seconds: f64) {
        let now = Instant::now();
        let weight = self.weight(now);
        self.average = if seconds >= self.average {
            seconds
        } else {
            self.average * weight + seconds * (1.0 - weight)
        };
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[tokio::test(start_paused = true)]
    async fn slowness_counts_at_once_and_is_forgotten_by_and_by() {
        let standing = Standing::default();
        assert_eq!(standing.cost(), 0.0);
        standing.answered(ms(10));
        let fast = standing.cost();
        standing.answered(ms(500));
        assert!(standing.cost() > 40.0 * fast);
        tokio::time::advance(Duration::from_secs(60)).await;
        standing.answered(ms(10));
        assert!(standing.cost() < 2.0 * fast, "{}", standing.cost());
    }

    #[tokio::test(start_paused = true)]
    async fn load_multiplies_latency_and_unknown_endpoints_get_one_call_first() {
        let (known, unknown) = (Standing::default(), Standing::default());
        known.answered(ms(10));
        assert!(unknown.cost() < known.cost());
        unknown.begin();
        assert!(unknown.cost() > known.cost());
        known.begin();
        let loaded = known.cost();
        known.end();
        assert!((loaded / known.cost() - 2.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn ejections_take_failures_in_a_row_and_grow() {
        let (standing, settings) = (Standing::default(), ClientSettings::default());
        for _ in 1..settings.eject_after {
            assert!(!standing.failed(ms(1), &settings));
        }
        assert!(standing.failed(ms(1), &settings));
        let first = standing.eject(&settings);
        assert!(standing.is_ejected() && !standing.is_usable());
        tokio::time::advance(first).await;
        assert!(standing.is_usable());
        let second = standing.eject(&settings);
        assert!(second > first, "{second:?} after {first:?}");
        standing.answered(ms(1));
        assert!(standing.eject(&settings) < second);
    }
}
