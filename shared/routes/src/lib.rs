#![doc = include_str!("../README.md")]
//!
//! Sources of the rules: `google/api/http.proto` (templates and bindings), RFC 3986
//! (percent-encoding), RFC 6570 (reserved characters).

mod annotation;
mod binding;
mod compile;
mod defaults;
mod error;
mod limits;
mod options;
mod paths;
pub mod percent;
mod router;
mod routes;
mod template;
#[cfg(test)]
mod tests;

pub use annotation::HttpRule;
pub use binding::{Binding, Body, LeftOut, RouteVariable};
pub use error::RouteError;
pub use limits::{MAX_PATH_BYTES, MAX_PATH_SEGMENTS, MAX_ROUTE_STEPS};
pub use options::{DefaultBindings, InvalidBindings, PathDecoding, RouteOptions, TrailingSlash};
pub use paths::{Overlap, chain, has_text_form, is_system_parameter, overlap, path_text};
pub use router::{Candidate, Mismatch, PathMatch, Router};
pub use routes::{OwnNames, RequestNames, Routes};
pub use template::{Segment, Template, Variable};
