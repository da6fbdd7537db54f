//! Statistics of an endpoint: load, latency, health, ejections.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use rpc::lock::lock;
use tokio::time::Instant;

use crate::settings::ClientSettings;

/// The decay of latencies: after this time a measurement has 37 % of its weight.
const LATENCY_MEMORY: Duration = Duration::from_secs(10);

/// The assumed latency, in seconds, of an endpoint that has calls in flight and no answer yet.
const UNKNOWN_LATENCY: f64 = 1.0;

/// The longest ejection, as a multiple of the first.
const EJECTIONS_MAX: u32 = 10;

/// Statistics that calls update and the picker reads.
pub(crate) struct EndpointStats {
    in_flight: AtomicUsize,
    latency: Mutex<Latency>,
    failures: AtomicU32,
    is_unhealthy: AtomicBool,
    ejection: Mutex<Ejection>,
}

/// An exponentially weighted moving average in seconds that rises at once and falls slowly.
struct Latency {
    average: f64,
    at: Instant,
}

#[derive(Default)]
struct Ejection {
    until: Option<Instant>,
    /// Ejections since the last good answer.
    count: u32,
}

impl EndpointStats {
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the cost of one more call; lower is better.
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

    /// Records an answer, of any status, after `latency`.
    pub(crate) fn answered(&self, latency: Duration) {
        lock(&self.latency).observe(latency.as_secs_f64());
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            lock(&self.ejection).count = 0;
        }
    }

    /// Records a failure. Returns whether it suffices to eject the endpoint.
    pub(crate) fn failed(&self, after: Duration, settings: &ClientSettings) -> bool {
        let mut latency = lock(&self.latency);
        // A fast failure must not improve the latency.
        let seconds = after.as_secs_f64().max(latency.average);
        latency.observe(seconds);
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        settings.eject_after > 0 && failures >= settings.eject_after
    }

    /// Records a call that its caller dropped after this time; the answer would have taken longer.
    pub(crate) fn abandoned(&self, after: Duration) {
        let mut latency = lock(&self.latency);
        if after.as_secs_f64() > latency.average {
            latency.observe(after.as_secs_f64());
        }
    }

    /// Ejects the endpoint; each further ejection in a row lasts longer.
    pub(crate) fn eject(&self, settings: &ClientSettings) -> Duration {
        let mut ejection = lock(&self.ejection);
        ejection.count = (ejection.count + 1).min(EJECTIONS_MAX);
        let full = Duration::from_millis(settings.eject_ms) * ejection.count;
        let time = full.mul_f64(rand::random_range(0.8..=1.2));
        ejection.until = Some(Instant::now() + time);
        // The next ejection needs new failures.
        self.failures.store(1, Ordering::Relaxed);
        time
    }
}

impl Default for EndpointStats {
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

    /// Returns the average now. It decays without observations too, so that a slow endpoint is
    /// tried again.
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
        let stats = EndpointStats::default();
        assert_eq!(stats.cost(), 0.0);
        stats.answered(ms(10));
        let fast = stats.cost();
        stats.answered(ms(500));
        assert!(stats.cost() > 40.0 * fast);
        tokio::time::advance(Duration::from_secs(60)).await;
        stats.answered(ms(10));
        assert!(stats.cost() < 2.0 * fast, "{}", stats.cost());
    }

    #[tokio::test(start_paused = true)]
    async fn load_multiplies_latency_and_unknown_endpoints_get_one_call_first() {
        let (known, unknown) = (EndpointStats::default(), EndpointStats::default());
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
        let (stats, settings) = (EndpointStats::default(), ClientSettings::default());
        for _ in 1..settings.eject_after {
            assert!(!stats.failed(ms(1), &settings));
        }
        assert!(stats.failed(ms(1), &settings));
        let first = stats.eject(&settings);
        assert!(stats.is_ejected() && !stats.is_usable());
        tokio::time::advance(first).await;
        assert!(stats.is_usable());
        let second = stats.eject(&settings);
        assert!(second > first, "{second:?} after {first:?}");
        stats.answered(ms(1));
        assert!(stats.eject(&settings) < second);
    }
}
