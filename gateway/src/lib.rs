//! The server that fronts any gRPC backend with JSON over HTTP, streams included; it learns the API
//! by server reflection.

mod api;
mod app;
mod call;
mod context;
mod failure;
mod policy;
mod protocols;
mod settings;
mod surface;

pub use api::{
    AccessTable, BreakingChanges, CacheTable, CustomPattern, Dialect, EmitDefaults,
    HttpRuleSettings, IdempotencyKeyTable, InvalidationTable, MethodOptions, MirrorTable,
    SchemaSettings, SourceSettings, TrailingSlash, UnknownFields, UpstreamTable, VersionTable,
};
pub use app::{Config, DEFAULTS, FLAGS, PROGRAM, start, start_with};
pub use failure::ErrorSettings;
pub use policy::{
    AuthorizationSettings, CacheSettings, Coding, CompressionSettings, ConditionalSettings,
    CorsSettings, DeadlineSettings, IdempotencySettings, MetadataSettings, PageCallers,
    RequestInfo, Stage,
};
pub use protocols::WebSocketSettings;
pub use surface::OpenApiSettings;
