#![doc = include_str!("../README.md")]

mod access;
mod advice;
mod answers;
mod check;
mod diagnostics;
mod error;
mod events;
mod limits;
mod promises;
mod sources;
mod standard;

pub use check::{Checked, Contract};
pub use descriptors::{MethodPlan, Problem};
pub use error::{Error, MAX_LISTED, listed};
pub use events::Event;
pub use sources::{Compiled, Sources, find};
pub use standard::is_options_only;
