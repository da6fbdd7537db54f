//! The circuit breaker of an upstream: a bound on calls under way and waiting, and a stop when every call fails.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;

use crate::settings::ClientSettings;
use rpc::error::Fault;
use rpc::lock::lock;

/// Shared by all calls of one upstream.
pub(crate) struct Breaker {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    failures: AtomicU32,
    failures_max: u32,
    is_open: AtomicBool,
    /// When the next call may find out whether the upstream is back.
    probe_at: Mutex<Instant>,
    pause: Duration,
}

/// Counts a call that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Breaker {
    pub(crate) fn new(settings: &ClientSettings) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.max_requests)),
            waiting: AtomicUsize::new(0),
            waiting_max: settings.max_waiting,
            failures: AtomicU32::new(0),
            failures_max: settings.break_after,
            is_open: AtomicBool::new(false),
            probe_at: Mutex::new(Instant::now()),
            pause: Duration::from_millis(settings.break_ms),
        }
    }

    /// Lets a call in, at once or when another one ends. The permit is the call's until its response is complete.
    ///
    /// # Errors
    /// UNAVAILABLE: `CIRCUIT_OPEN` or `UPSTREAM_OVERLOADED`.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        if self.is_open.load(Ordering::Relaxed) && !self.may_probe() {
            let message =
                "calls to the upstream have failed one after the other, it gets none for a while";
            let fault = Fault::unavailable("CIRCUIT_OPEN", message);
            return Err(fault.retry_after(self.pause).into());
        }
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max {
            drop(Waiting(&self.waiting));
            return Err(overloaded());
        }
        let _waiting = Waiting(&self.waiting);
        let permit = self.permits.clone().acquire_owned().await;
        // The semaphore is never closed.
        permit.map_err(|_| overloaded())
    }

    /// Notes that the upstream answered; returns whether that has closed the circuit.
    pub(crate) fn answered(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.is_open.swap(false, Ordering::Relaxed)
    }

    /// Notes that it did not; returns whether that has opened the circuit.
    pub(crate) fn failed(&self) -> bool {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if self.failures_max == 0 || failures < self.failures_max {
            return false;
        }
        self.postpone(&mut lock(&self.probe_at));
        let has_opened = !self.is_open.swap(true, Ordering::Relaxed);
        if has_opened {
            tracing::warn!(failures, "circuit of upstream opened");
        }
        has_opened
    }

    /// Whether this call is the one that finds out. One at a time: the next has its turn after another pause.
    fn may_probe(&self) -> bool {
        let mut probe_at = lock(&self.probe_at);
        let is_due = Instant::now() >= *probe_at;
        if is_due {
            self.postpone(&mut probe_at);
        }
        is_due
    }

    fn postpone(&self, probe_at: &mut Instant) {
        *probe_at = Instant::now() + self.pause.mul_f64(rand::random_range(0.5..=1.0));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn overloaded() -> Status {
    let message = "as many calls to the upstream are under way and waiting as are allowed";
    Fault::unavailable("UPSTREAM_OVERLOADED", message).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rpc::error::reason;

    fn breaker(max_requests: usize, max_waiting: usize) -> Breaker {
        Breaker::new(&ClientSettings {
            max_requests,
            max_waiting,
            break_after: 3,
            ..ClientSettings::default()
        })
    }

    #[tokio::test]
    async fn calls_beyond_the_bound_wait_and_beyond_that_are_refused() {
        let breaker = breaker(1, 1);
        let first = breaker.enter().await.unwrap();
        let mut second = Box::pin(breaker.enter());
        assert!(futures::poll!(&mut second).is_pending());
        let refused = breaker.enter().await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("UPSTREAM_OVERLOADED"));
        drop(first);
        let second = second.await.unwrap();
        // The one that waited is not counted any more.
        let mut third = Box::pin(breaker.enter());
        assert!(futures::poll!(&mut third).is_pending());
        drop((second, third));
        drop(breaker.enter().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_when_everything_fails_and_probes() {
        let breaker = breaker(9, 9);
        for _ in 0..2 {
            breaker.failed();
        }
        breaker.answered();
        for _ in 0..3 {
            drop(breaker.enter().await.unwrap());
            breaker.failed();
        }
        let refused = breaker.enter().await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("CIRCUIT_OPEN"));
        tokio::time::advance(breaker.pause).await;
        drop(breaker.enter().await.unwrap());
        assert!(breaker.enter().await.is_err(), "a second probe at once");
        breaker.failed();
        assert!(breaker.enter().await.is_err());
        tokio::time::advance(breaker.pause).await;
        drop(breaker.enter().await.unwrap());
        breaker.answered();
        drop(breaker.enter().await.unwrap());
        drop(breaker.enter().await.unwrap());
    }
}
