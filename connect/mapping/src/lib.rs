#![doc = include_str!("../README.md")]

mod compiled;
mod decimal;
mod encode;
mod error;
mod functions;
pub mod limits;
mod scope;
mod settings;
mod tables;
mod target;
mod values;

pub use error::{CompileError, Unmapped, rules};
pub use compiled::Mapping;
pub use scope::{Batch, Origin, Scope};
pub use settings::{Entry, Settings, TableSettings};
