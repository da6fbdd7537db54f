#![doc = include_str!("../README.md")]
//!
//! Rules, ids and meanings are those of protovalidate (`buf/validate/validate.proto`). They are
//! checked on the bytes of the whole message and not while JSON is read, because path, query and
//! body only together make a message: a caller with JSON and one with protobuf get the same
//! violations.

mod check;
mod library;
mod limits;
mod load;
mod options;
mod pieces;
mod protovalidate;
pub mod rules;
mod validator;
mod violations;

#[cfg(test)]
mod tests;

pub use limits::MAX_VIOLATIONS;
pub use options::{Clock, ValidationOptions};
pub use validator::{Validation, Validator};
pub use violations::{Origin, Violation, Violations};
