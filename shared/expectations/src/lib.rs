#![doc = include_str!("../README.md")]

mod contract;
mod file;
mod recording;
#[cfg(test)]
mod tests;
mod verification;

pub use contract::{Contract, Error};
pub use file::{EventUse, Expectations, MethodUse};
pub use recording::Recording;
pub use verification::Felt;
