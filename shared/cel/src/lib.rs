#![doc = include_str!("../README.md")]

mod check;
mod condition;
mod error;
mod library;
mod limits;
mod meter;
mod program;
mod rewrite;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use cel_engine as engine;
pub use check::Variable;
pub use condition::{Condition, Subject, moment};
pub use error::{CompileError, EvaluationError};
pub use library::{
    Addition, BOOL, Library, MakeMatcher, Matcher, Preparation, Prepare, Signature,
};
pub use limits::{MAX_NESTED_COMPREHENSIONS, MAX_NESTING, MAX_NODES, MAX_SOURCE_BYTES, MAX_STEPS};
pub use meter::Meter;
pub use program::{Answer, Failure, Program, Read, Variables};
pub use types::Type;
pub use value::{Boxed, Message, Occurrence, Presence, RECORD, View};
