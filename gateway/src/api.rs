//! The API that the gateway serves: how it is learned from the upstreams, compiled, and swapped
//! while requests go on.

mod any_types;
mod catalog;
mod dialect;
mod directory;
mod documents;
mod learn;
mod policies;
mod settings;
mod upstreams;

pub use dialect::{Dialect, EmitDefaults, TrailingSlash, UnknownFields};
pub use policies::{
    AccessTable, CacheTable, IdempotencyKeyTable, InvalidationTable, MethodOptions,
};
pub use settings::{
    BreakingChanges, CustomPattern, HttpRuleSettings, SchemaSettings, SourceSettings,
};
pub use upstreams::{MirrorTable, UpstreamTable, VersionTable};

pub(crate) use catalog::Catalog;
pub(crate) use directory::{Directory, reason};
pub(crate) use documents::Document;
pub(crate) use learn::{source, watch};
pub(crate) use policies::{ApiOptions, SelectedAnswers};
pub(crate) use upstreams::UpstreamHandle;
