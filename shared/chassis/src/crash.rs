//! Named crash points, at which a test aborts the process as a power failure would.
//!
//! A build with the feature `failpoints` also obeys the crate `fail`: a test can hold a point, or
//! leave out a step to prove that it is needed.

use std::sync::OnceLock;

static CRASH_AT: OnceLock<String> = OnceLock::new();

/// Aborts the process if the configuration key `crash_at` names this point.
///
/// Nothing runs after the abort: no destructor, no flush, no drain.
pub fn point(name: &str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name);
    if CRASH_AT.get().is_some_and(|armed| armed == name) {
        tracing::error!(name, "crash point reached");
        std::process::abort();
    }
}

/// Returns whether a test leaves out the step `name`; never without the feature `failpoints`.
#[cfg(feature = "failpoints")]
pub fn skips(name: &str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// Returns whether a test leaves out the step `name`; never without the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
pub const fn skips(_name: &str) -> bool {
    false
}

/// Arms the crash point `name` for the life of the process; an empty name arms none.
pub fn arm(name: &str) {
    if !name.is_empty() {
        tracing::warn!(name, "crash point armed");
        // Only a second start in one process calls this twice; the first name stays.
        let _ = CRASH_AT.set(name.to_owned());
    }
}
