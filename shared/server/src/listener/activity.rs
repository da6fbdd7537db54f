//! The activity of a connection, and when it has been idle for too long.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ::admission::Unread;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::response::{ResponseBody, Responses};
use crate::settings::ListenerSettings;

/// Checks for unread responses per timeout; more of them make the timeout more exact.
const CHECKS: u32 = 4;

/// The requests of one connection and its idle time between them.
pub(crate) struct Activity {
    since: Instant,
    /// Requests without a complete response.
    running: AtomicUsize,
    /// When the last request ended, in milliseconds of this clock.
    quiet_at: AtomicU64,
    /// When the first byte after that arrived; 0 for not yet.
    heard_at: AtomicU64,
    responses: Arc<Responses>,
    /// Another connection needs the place of this one.
    evicted: CancellationToken,
}

/// A running request, which ends when this is dropped.
pub(crate) struct RunningRequest(Arc<Activity>);

/// Extension of a CONNECT request: it runs until the last clone is dropped. A tunnel in an HTTP/2
/// stream outlives its response, so the end of the tunnel must drop it.
#[derive(Clone)]
pub struct Tunnel(Arc<RunningRequest>);

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// No request for too long.
    Idle,
    /// The head of a request does not end.
    SlowHead,
}

// === impl Activity ===

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            running: AtomicUsize::new(0),
            quiet_at: AtomicU64::new(1),
            heard_at: AtomicU64::new(0),
            responses: Arc::default(),
            evicted: CancellationToken::new(),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> RunningRequest {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.heard_at.store(0, Ordering::Relaxed);
        RunningRequest(self.clone())
    }

    /// Tracks the body of a response, which ends its request.
    pub(crate) fn answer(
        &self,
        body: Body,
        running: RunningRequest,
        unread: Option<Unread>,
    ) -> ResponseBody {
        self.responses.begin(body, running, unread)
    }

    /// Begins the tunnel of a request.
    pub(crate) fn tunnel(self: &Arc<Self>) -> Tunnel {
        Tunnel(Arc::new(self.begin()))
    }

    /// Records that bytes have arrived.
    pub(crate) fn hear(&self) {
        let first = self.heard_at.load(Ordering::Relaxed) == 0;
        if first && self.running.load(Ordering::Relaxed) == 0 {
            self.heard_at.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Returns how long there has been no request, in milliseconds; `None` while there is one, or
    /// when the connection is to end already.
    pub(crate) fn idle_ms(&self) -> Option<u64> {
        if self.running.load(Ordering::Relaxed) > 0 || self.evicted.is_cancelled() {
            return None;
        }
        let quiet_at = self.quiet_at.load(Ordering::Relaxed);
        Some(self.now().saturating_sub(quiet_at))
    }

    /// Ends the connection as soon as it has no request.
    pub(crate) fn evict(&self) {
        self.evicted.cancel();
    }

    /// Waits until the connection is to make room.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Restarts the idle time.
    pub(crate) fn rest(&self) {
        self.quiet_at.store(self.now(), Ordering::Relaxed);
    }

    /// Waits until the connection expires. One with a running request does not; its unread
    /// responses are aborted meanwhile.
    pub(crate) async fn expired(&self, limits: Limits) -> Expiry {
        loop {
            let (quiet_at, heard_at) = (&self.quiet_at, &self.heard_at);
            let quiet = quiet_at.load(Ordering::Relaxed) + millis(limits.idle);
            let heard = heard_at.load(Ordering::Relaxed);
            let slow = limits
                .head
                .filter(|_| heard > 0)
                .map(|head| heard + millis(head));
            let now = self.now();
            // A request may arrive at any time after this check.
            let mut next = now + millis(limits.unread / CHECKS).max(1);
            next = next.min(limits.head.map_or(u64::MAX, |head| now + millis(head)));
            if self.running.load(Ordering::Relaxed) > 0 {
                self.responses.abort_unread(limits.unread);
            } else if slow.is_some_and(|slow| slow <= now) {
                return Expiry::SlowHead;
            } else if quiet <= now {
                return Expiry::Idle;
            } else {
                next = next.min(quiet).min(slow.unwrap_or(u64::MAX));
            }
            tokio::time::sleep_until(self.since + Duration::from_millis(next)).await;
        }
    }

    fn now(&self) -> u64 {
        millis(self.since.elapsed()).max(1)
    }
}

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Until the next request.
    pub(crate) idle: Duration,
    /// Until the end of a request head; HTTP/2 has other frames between requests, so it can't be
    /// measured there.
    pub(crate) head: Option<Duration>,
    /// Until a response is read.
    pub(crate) unread: Duration,
}

impl Limits {
    pub(crate) fn new(settings: &ListenerSettings, has_heads: bool) -> Self {
        Self {
            idle: settings.idle_timeout(),
            head: has_heads.then(|| settings.header_timeout()),
            unread: settings.response_stall_timeout(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

// === impl RunningRequest ===

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.rest();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.0.0.running.load(Ordering::Relaxed);
        formatter.debug_tuple("Tunnel").field(&running).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(60),
        head: Some(Duration::from_secs(10)),
        unread: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn a_connection_expires_by_silence_or_by_an_endless_head_but_not_in_a_request() {
        let (activity, start) = (Activity::new(), Instant::now());
        assert_eq!(activity.expired(LIMITS).await, Expiry::Idle);
        assert_eq!(start.elapsed().as_secs(), 60);

        activity.rest();
        activity.hear();
        assert_eq!(activity.expired(LIMITS).await, Expiry::SlowHead);
        assert_eq!(start.elapsed().as_secs(), 70);

        let running = activity.begin();
        activity.hear();
        let expired = tokio::time::timeout(Duration::from_secs(1000), activity.expired(LIMITS));
        assert!(expired.await.is_err());
        drop(running);
        let ended = Instant::now();
        assert_eq!(activity.expired(LIMITS).await, Expiry::Idle);
        assert_eq!(ended.elapsed().as_secs(), 60);
    }
}
