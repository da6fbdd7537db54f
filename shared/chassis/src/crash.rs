//! Named crash points: places where a test may end the process as a power cut would.

use std::sync::OnceLock;

static CRASH_AT: OnceLock<String> = OnceLock::new();

/// Aborts the process if the configuration key `crash_at` names this point.
///
/// Nothing runs after the abort: no destructor, no flush, no drain. That is what a crash test needs.
pub fn point(name: &str) {
    if CRASH_AT.get().is_some_and(|armed| armed == name) {
        tracing::error!(name, "crash point reached");
        std::process::abort();
    }
}

/// Arms the crash point `name` for the life of the process; an empty name arms none.
pub fn arm(name: &str) {
    if !name.is_empty() {
        tracing::warn!(name, "crash point armed");
        // A second call can only come from a second start in one process; the first choice stands.
        let _ = CRASH_AT.set(name.to_owned());
    }
}
