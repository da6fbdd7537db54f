//! Learns the API of an upstream: by server reflection, from descriptor files, or from both.
#![doc = include_str!("../README.md")]

mod api;
mod combine;
mod encoded;
mod files;
mod reflection;
mod source;
mod usable;

pub use api::Learned;
pub use encoded::{copies, descriptor_set, qualified};
pub use source::{Error, Pace, Source, SourceOptions};
