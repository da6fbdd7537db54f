//! The time by which credentials are judged, which tests can move.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// Longest sleep before the time of day is read again, since somebody may have set it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The time of day. Clones are the same clock.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<watch::Sender<SystemTime>>),
}

// === impl Clock ===

impl Clock {
    /// Creates a clock that stands still until it is moved.
    pub fn manual(now: SystemTime) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(now))))
    }

    /// Returns the time.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// Moves a manual clock forward; the clock of the system goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(time) = &self.0 {
            time.send_modify(|now| *now += by);
        }
    }

    /// Waits until a time; at once if it has passed.
    pub async fn wait_until(&self, time: SystemTime) {
        match &self.0 {
            Source::System => {
                while let Ok(left) = time.duration_since(SystemTime::now())
                    && !left.is_zero()
                {
                    tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
                }
            }
            Source::Manual(now) => {
                let mut now = now.subscribe();
                // The sender lives as long as this clock.
                let _ = now.wait_for(|now| *now >= time).await;
            }
        }
    }

    /// Waits for a duration.
    pub async fn wait(&self, duration: Duration) {
        match self.now().checked_add(duration) {
            Some(time) => self.wait_until(time).await,
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Clock").field(&self.now()).finish()
    }
}
