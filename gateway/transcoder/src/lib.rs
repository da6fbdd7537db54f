//! JSON over HTTP to protobuf and back: JSON text straight to wire bytes, wire bytes straight to
//! JSON text.
//!
//! Sources of the rules: `google/api/http.proto` (routes and bindings), the ProtoJSON guide of
//! protobuf.dev, AIP-127, AIP-134, AIP-193, RFC 8259 (JSON), RFC 3986 (percent-encoding).
#![doc = include_str!("../README.md")]

mod encode;
mod error;
mod fields;
pub mod json;
mod limits;
mod media;
mod options;
mod request;
mod response;
mod route;
mod scalar;
mod schema;
mod status;
pub mod stream;
mod tables;
#[cfg(test)]
mod testing;
mod wkt;

pub use contract::{Idempotency, MethodKind, status_code_name};
pub use descriptors::{CompileError, MethodPlan, Problem, is_vary};
pub use error::{RequestError, Rule};
pub use fields::Fields;
pub use limits::{
    MAX_BODY_VALUES, MAX_MASK_BYTES, MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES,
};
pub use media::accepts;
pub use options::{
    BindingConflict, DuplicateQuery, EmitDefaults, HttpOptions, JsonOptions, Options,
    UnexpectedBody, UnknownQuery,
};
pub use request::{BoundField, Content, Source, SystemParameters, UnsupportedMediaType};
pub use route::{Explanation, Match, Route};
pub use routes::{
    Candidate, DefaultBindings, HttpRule, InvalidBindings, LeftOut, MAX_PATH_BYTES,
    MAX_PATH_SEGMENTS, MAX_ROUTE_STEPS, Mismatch, PathDecoding, RequestNames, RouteError,
    RouteOptions, Template, TrailingSlash,
};
pub use schema::{MessageType, Schema};
pub use status::http_status;
pub use tables::AnyTypes;
pub use validation::{Clock, MAX_VIOLATIONS, ValidationOptions, Validator, Violation, Violations};
pub use wire::{MAX_DEPTH, WireError};
