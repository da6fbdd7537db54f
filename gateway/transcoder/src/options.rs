//! Where the standards leave a choice: what a schema is compiled with.

mod dialect;
mod http;

use std::time::SystemTime;

pub use http::{
    BindingConflict, DefaultBindings, DuplicateQuery, HttpOptions, HttpRule, PathDecoding,
    TrailingSlash, UnexpectedBody, UnknownQuery,
};

/// Choices for one schema. The defaults are the strict reading of the standards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How messages look as JSON.
    pub json: JsonOptions,
    /// How HTTP requests become messages.
    pub http: HttpOptions,
    /// How the rules of `buf.validate` are enforced.
    pub validation: ValidationOptions,
}

/// Where ProtoJSON leaves a choice. The default is ProtoJSON's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// Responses show scalars without presence at their default, empty lists and empty maps, instead of leaving them out.
    pub emit_defaults: bool,
    /// Requests may carry JSON keys that no field has, instead of being refused.
    pub ignore_unknown_fields: bool,
}

/// How the rules of `buf.validate` are enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationOptions {
    /// Messages are checked. By default they are.
    pub enforce: bool,
    /// Text must not hold U+0000, in any field of any message: PostgreSQL can't store it. A rule of our own, off by default.
    pub refuse_nul: bool,
    /// What rules such as `timestamp.lt_now` compare with; without a clock those are not enforced, and a note says so.
    pub clock: Option<Clock>,
}

/// Tells the time; this crate has no clock of its own. For example `Clock(std::time::SystemTime::now)`.
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
