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
    /// What responses show of fields that are not set.
    pub emit_defaults: EmitDefaults,
    /// Responses carry the field names of the proto file instead of lowerCamelCase. Requests may use either, unless
    /// `strict_names` is set.
    pub preserve_proto_field_names: bool,
    /// Responses carry enum values as numbers instead of names. Requests may use either, always.
    pub enums_as_numbers: bool,
    /// Requests may carry JSON keys that no field has, and names that no enum value has, instead of being refused. An enum name
    /// that is ignored leaves its field unset, or is no element of its list or map.
    pub ignore_unknown_fields: bool,
    /// Requests name fields, in JSON and in queries, as responses do. ProtoJSON has readers take JSON names and the names of the
    /// proto file alike.
    pub strict_names: bool,
    /// Errors show `google.rpc.DebugInfo`, the stack traces of a backend, which are not for the public.
    pub show_debug_info: bool,
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

/// What responses show of fields without presence that are at their default. Fields with presence (messages, `optional`, members
/// of oneofs) and extensions are shown when they are set, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmitDefaults {
    /// Nothing, as ProtoJSON has it.
    #[default]
    Never,
    /// Numbers, booleans, strings, bytes and enums.
    Scalars,
    /// These, and empty lists and maps.
    All,
}

#[cfg(test)]
mod tests;
