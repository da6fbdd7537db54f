#![doc = include_str!("../README.md")]

mod files;
mod name;
mod review;
mod statements;
#[cfg(test)]
mod tests;

pub use files::{Migration, find};
pub use name::{Error, Name, Side, contract_after};
pub use review::{Problem, review};
pub use statements::{Contracting, contracting};
