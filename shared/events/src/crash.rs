//! Named points where a test may end the process, to prove what survives.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// Has `hook` called with the name of each crash point that the process passes. The first call decides.
///
/// The points are `events.relay.before_publish`, `events.relay.after_publish` (acknowledged, rows still there),
/// `events.consumer.before_commit` and `events.consumer.after_commit` (not acknowledged).
pub fn set_crash_hook(hook: fn(&'static str)) {
    // A second hook is ignored: the points must mean the same thing for the life of a process.
    let _ = HOOK.set(hook);
}

pub(crate) fn point(name: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
}
