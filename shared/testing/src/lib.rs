#![doc = include_str!("../README.md")]

mod harness;
mod recorder;
mod wait;

pub use harness::{Builder, Mesh};
pub use mesh;
pub use recorder::Recorder;
pub use wait::{PATIENCE, eventually};
