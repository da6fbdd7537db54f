//! What goes on on a connection, and when it has gone on for nothing long enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tonic::body::Body;

use super::answer::{Answer, Answers};
use crate::settings::ListenerSettings;

/// Looks at what is unread within the time that it may be; the more, the more exact that time is.
const LOOKS: u32 = 4;

/// The requests of one connection and the time between them.
pub(crate) struct Activity {
    since: Instant,
    /// Requests that have no complete response yet.
    running: AtomicUsize,
    /// When the last request ended, in milliseconds of this clock.
    quiet_at: AtomicU64,
    /// When the first byte after that arrived; 0 for not yet.
    heard_at: AtomicU64,
    answers: Arc<Answers>,
}

/// A request that runs until this is dropped.
pub(crate) struct Running(Arc<Activity>);

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// No request for long.
    Idle,
    /// A request whose head does not end.
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
            answers: Arc::default(),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.heard_at.store(0, Ordering::Relaxed);
        Running(self.clone())
    }

    /// The response of a request, which runs as long as that does.
    pub(crate) fn answer(&self, body: Body, running: Running) -> Answer {
        self.answers.begin(body, running)
    }

    /// Notes that bytes have arrived.
    pub(crate) fn hear(&self) {
        let first = self.heard_at.load(Ordering::Relaxed) == 0;
        if first && self.running.load(Ordering::Relaxed) == 0 {
            self.heard_at.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Begins the time without requests anew.
    pub(crate) fn rest(&self) {
        self.quiet_at.store(self.now(), Ordering::Relaxed);
    }

    /// Waits until the connection has waited in vain. A connection with a running request never has; of its responses those that
    /// nobody reads are given up meanwhile.
    pub(crate) async fn expired(&self, limits: Limits) -> Expired {
        loop {
            let (quiet_at, heard_at) = (&self.quiet_at, &self.heard_at);
            let quiet = quiet_at.load(Ordering::Relaxed) + millis(limits.idle);
            let heard = heard_at.load(Ordering::Relaxed);
            let slow = limits
                .head
                .filter(|_| heard > 0)
                .map(|head| heard + millis(head));
            let now = self.now();
            // A request may come at any time after this look.
            let mut next = now + millis(limits.unread / LOOKS).max(1);
            next = next.min(limits.head.map_or(u64::MAX, |head| now + millis(head)));
            if self.running.load(Ordering::Relaxed) > 0 {
                self.answers.give_up_unread(limits.unread);
            } else if slow.is_some_and(|slow| slow <= now) {
                return Expired::SlowHead;
            } else if quiet <= now {
                return Expired::Idle;
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

/// How long a connection may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a request.
    pub(crate) idle: Duration,
    /// For the rest of a request's head; HTTP/2 has other frames between requests, so there it can't be told.
    pub(crate) head: Option<Duration>,
    /// For the reader of a response.
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

// === impl Running ===

impl Running {
    /// Counts on after the end of the response: a tunnel in a stream of HTTP/2 goes on without it, and it can't be seen when
    /// it ends. So this connection is never idle again.
    pub(crate) fn outlive(&self) {
        self.0.running.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.rest();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
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
        assert_eq!(activity.expired(LIMITS).await, Expired::Idle);
        assert_eq!(start.elapsed().as_secs(), 60);

        activity.rest();
        activity.hear();
        assert_eq!(activity.expired(LIMITS).await, Expired::SlowHead);
        assert_eq!(start.elapsed().as_secs(), 70);

        let running = activity.begin();
        activity.hear();
        let expired = tokio::time::timeout(Duration::from_secs(1000), activity.expired(LIMITS));
        assert!(expired.await.is_err());
        drop(running);
        let ended = Instant::now();
        assert_eq!(activity.expired(LIMITS).await, Expired::Idle);
        assert_eq!(ended.elapsed().as_secs(), 60);
    }
}
