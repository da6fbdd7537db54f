//! The resets of young calls that a connection may send.

use std::sync::Mutex;
use std::time::Duration;

use rpc::lock::lock;
use tokio::time::Instant;

/// The age from which a call may be reset at any rate: by then its server has accepted it, and the
/// rate is bounded by the calls that a client may have at a time.
pub(crate) const YOUNG: Duration = Duration::from_secs(1);

/// Resets of young calls at once. Servers close a connection that resets many, with all other calls
/// on it (CVE-2023-44487): h2 at the 20th that it has not accepted, Envoy by calls that lived for
/// less than a second, Netty at 200 in 30 s.
pub(crate) const BURST: u32 = 10;

/// The time after which one more is allowed.
const INTERVAL: Duration = Duration::from_millis(200);

/// The resets of young calls on one connection, by the generic cell rate algorithm.
#[derive(Default)]
pub(crate) struct Resets {
    /// When all that was allowed would have been due at an even pace.
    paid_until: Mutex<Option<Instant>>,
}

impl Resets {
    /// Returns whether a call that was sent at this time may be reset now.
    pub(crate) fn allow(&self, sent_at: Instant) -> bool {
        let now = Instant::now();
        if now.duration_since(sent_at) >= YOUNG {
            return true;
        }
        let mut paid_until = lock(&self.paid_until);
        let due = paid_until.map_or(now, |until| until.max(now));
        let is_allowed = due.duration_since(now) <= INTERVAL * (BURST - 1);
        if is_allowed {
            *paid_until = Some(due + INTERVAL);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn young_calls_are_reset_at_a_bounded_rate_and_old_ones_at_any() {
        let resets = Resets::default();
        let sent_at = Instant::now();
        let allowed = |count: usize| (0..count).filter(|_| resets.allow(sent_at)).count();
        assert_eq!(allowed(100), BURST as usize);
        tokio::time::advance(INTERVAL * 2).await;
        assert_eq!(allowed(100), 2);
        tokio::time::advance(YOUNG).await;
        assert_eq!(allowed(100), 100);
    }
}
