//! Where the standards leave a choice: what a schema is compiled with.

mod dialect;
mod http;

use std::collections::BTreeSet;

use ::routes::RouteOptions;

use validation::ValidationOptions;

pub use http::{BindingConflict, DuplicateQuery, HttpOptions, UnexpectedBody, UnknownQuery};

/// Choices for one schema. The defaults are the strict reading of the standards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How messages look as JSON.
    pub json: JsonOptions,
    /// Choices about routes.
    pub routes: RouteOptions,
    /// How HTTP requests become messages.
    pub http: HttpOptions,
    /// How the rules of `buf.validate` are enforced.
    pub validation: ValidationOptions,
    /// Full names of services whose requests are not checked by the rules of `buf.validate`: the
    /// services do so themselves.
    pub unvalidated: BTreeSet<String>,
}

/// Where ProtoJSON leaves a choice. The default is ProtoJSON's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// Unset fields that responses show.
    pub emit_defaults: EmitDefaults,
    /// Responses carry the field names of the proto file instead of lowerCamelCase. Requests may
    /// use either, unless `strict_names` is set.
    pub preserve_proto_field_names: bool,
    /// Responses carry enum values as numbers instead of names. Requests may use either, always.
    pub enums_as_numbers: bool,
    /// Requests may carry JSON keys that no field has, and names that no enum value has, instead of
    /// being rejected. An enum name that is ignored leaves its field unset, or adds no element to
    /// its list or map.
    pub ignore_unknown_fields: bool,
    /// Requests name fields, in JSON and in queries, as responses do. ProtoJSON has readers take
    /// JSON names and the names of the proto file alike.
    pub strict_names: bool,
    /// Errors show `google.rpc.DebugInfo`, the stack traces of a backend, which are not for the
    /// public.
    pub show_debug_info: bool,
}

/// Unset fields that responses show. Members of oneofs, proto3 `optional` fields and extensions are
/// shown when they are set, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EmitDefaults {
    /// Nothing, as ProtoJSON has it.
    #[default]
    Never,
    /// Numbers, booleans, strings, bytes and enums without presence, at their default.
    Scalars,
    /// These, and empty lists and maps.
    All,
    /// These, and `null` for messages and other fields with presence: `EmitUnpopulated` of Go's
    /// protojson.
    Nulls,
}

#[cfg(test)]
mod tests;
