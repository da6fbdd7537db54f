//! Learns the API of an upstream: by server reflection, from descriptor files, or from both.
#![doc = include_str!("../README.md")]

mod api;
mod combine;
mod declarations;
mod encoded;
mod files;
mod lookups;
mod reflection;
mod source;
mod types;
mod usable;

pub use api::Learned;
pub use declarations::Declarations;
pub use encoded::{copies, descriptor_set, qualified};
pub use lookups::{MissingType, TypeLookups, convert};
pub use source::{Error, Pace, Source, SourceOptions};
pub use types::TypeSource;
