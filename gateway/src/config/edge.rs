//! `[deadline]`, `[conditional]` and `[errors]`: how long calls may take, when answers are sent again, what errors tell.

use std::time::Duration;

use serde::Deserialize;

/// How long calls may take.
#[derive(Clone, Debug, Deserialize)]
pub struct DeadlineSettings {
    /// The longest that any call may take, in milliseconds; 0 for no bound.
    pub max_ms: u64,
}

/// Conditional requests (RFC 9110 §13).
#[derive(Clone, Debug, Deserialize)]
pub struct ConditionalSettings {
    /// Whether answers to GET and HEAD that are one message carry an `ETag` where the upstream sends none.
    pub etag: bool,
}

/// What errors tell.
#[derive(Clone, Debug, Deserialize)]
pub struct ErrorSettings {
    /// Whether callers see `google.rpc.DebugInfo`, the stack traces of upstreams.
    pub debug_info: bool,
}

impl DeadlineSettings {
    pub(crate) fn max(&self) -> Option<Duration> {
        (self.max_ms > 0).then(|| Duration::from_millis(self.max_ms))
    }
}
