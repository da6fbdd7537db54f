#![doc = include_str!("../README.md")]

mod harness;
mod wait;

pub use harness::{Builder, Mesh};
pub use mesh;
pub use wait::{PATIENCE, eventually};
