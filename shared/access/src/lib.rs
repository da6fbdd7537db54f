#![doc = include_str!("../README.md")]

mod denial;
mod label;
mod policies;
mod policy;

pub use contract::{Access, Callers};
pub use denial::Denial;
pub use descriptors::AccessOption;
pub use label::Label;
pub use policies::{Policies, Ruling};
pub use policy::{Call, Policy};
