//! Choices about the enforcement of rules.

use std::time::SystemTime;

/// How the rules of `buf.validate` are enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationOptions {
    /// Messages are checked. By default they are.
    pub enforce: bool,
    /// Text must not hold U+0000, in any field of any message: PostgreSQL can't store it. A rule of
    /// our own, off by default.
    pub refuse_nul: bool,
    /// The time for rules such as `timestamp.lt_now`; without a clock those are not enforced, and a
    /// note says so.
    pub clock: Option<Clock>,
}

/// Returns the time, for example `Clock(std::time::SystemTime::now)`.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub fn() -> SystemTime);

// === impl ValidationOptions ===

impl Default for ValidationOptions {
    fn default() -> Self {
        ValidationOptions {
            enforce: true,
            refuse_nul: false,
            clock: None,
        }
    }
}

// === impl Clock ===

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Clock {}
