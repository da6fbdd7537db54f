#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod body;
pub mod coalesce;
pub mod config;
pub mod deadline;
pub mod error;
pub mod frame;
pub mod headers;
pub mod lock;
pub mod safety;
pub mod tls;

// For `faults!`.
#[doc(hidden)]
pub use tonic;
