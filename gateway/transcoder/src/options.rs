//! Where the standards leave a choice: what a schema is compiled with.

/// Choices for one schema. The defaults are the strict reading of the standards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How messages look as JSON.
    pub json: JsonOptions,
}

/// Where ProtoJSON leaves a choice. The default is ProtoJSON's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// Responses show scalars without presence at their default, empty lists and empty maps, instead of leaving them out.
    pub emit_defaults: bool,
    /// Requests may carry JSON keys that no field has, and names that an enum lacks, instead of being refused.
    pub ignore_unknown_fields: bool,
    /// Requests name fields, in JSON and in queries, as responses do. ProtoJSON has readers take JSON names and the names of the
    /// proto file alike.
    pub strict_names: bool,
}
