#![doc = include_str!("../README.md")]
//!
//! Compared are methods, HTTP routes, and every message and enum that a served method reaches, for
//! requests and for responses apart: a rule for senders breaks no receiver.
//! Additions break nothing. Source of the rules: the page on updating a message type of
//! protobuf.dev, ProtoJSON, AIP-180.

mod change;
mod comparison;
#[cfg(test)]
mod tests;

pub use change::{Breakage, BreakingChange};
pub use comparison::{Contract, access_changes, breaking_changes, breaking_facts};
