//! Compiled plans from descriptors: HTTP routes, JSON text straight to protobuf wire bytes, wire bytes straight to JSON text.
//!
//! Sources of the rules: `google/api/http.proto` (routes and bindings), the ProtoJSON guide of protobuf.dev, AIP-127, AIP-134,
//! AIP-193, RFC 8259 (JSON), RFC 3986 (percent-encoding).
#![doc = include_str!("../README.md")]

mod accept;
mod canonical;
mod compat;
mod descriptor;
mod encode;
mod error;
mod fields;
mod json;
mod limits;
mod mask;
mod message;
mod names;
mod occurrences;
mod openapi;
mod options;
mod percent;
mod plan;
mod query;
mod request;
mod response;
mod route;
mod scalar;
mod schema;
mod seen;
mod status;
pub mod stream;
mod template;
#[cfg(test)]
mod testing;
mod upload;
mod validate;
mod wire;
mod wkt;

pub use accept::accepts;
pub use compat::{Breakage, BreakingChange, Contract, breaking_changes};
pub use error::{CompileError, Problem, RequestError, ResponseError, RouteError, Rule};
pub use fields::Fields;
pub use limits::{
    MAX_BODY_VALUES, MAX_DEPTH, MAX_MASK_BYTES, MAX_PATH_BYTES, MAX_PATH_SEGMENTS,
    MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES, MAX_ROUTE_STEPS, MAX_VIOLATIONS,
};
pub use message::Message;
pub use openapi::{Info, OpenApi};
pub use options::{
    BindingConflict, Clock, DefaultBindings, DuplicateQuery, EmitDefaults, HttpOptions, HttpRule,
    JsonOptions, Options, PathDecoding, TrailingSlash, UnexpectedBody, UnknownQuery,
    ValidationOptions,
};
pub use query::SystemParameters;
pub use request::{BoundField, Content, Source, UnsupportedMediaType};
pub use route::{Match, Route};
pub use schema::{Idempotency, MethodKind, MethodPlan, Schema};
pub use status::{http_status, status_code_name};
pub use validate::{Malformed, Validator, Violation, Violations};
