//! The mesh on one machine: engines, databases, services and gateway, started, supervised and
//! stopped.
//!
//! The `mesh` command and the integration tests use the same [`Stack`]: a test kills and restarts
//! the processes that `up` runs.

pub mod cargo;
pub mod client;
pub mod commands;
pub mod engines;
pub mod home;
pub mod os;
pub mod probe;
pub mod project;
pub mod snapshot;
pub mod stack;
pub mod ui;

mod supervise;

pub use engines::Engines;
pub use home::{Home, StateDir};
pub use snapshot::Snapshot;
pub use stack::{Stack, StackOptions};
pub use supervise::{ProcessStatus, State};
pub use ui::Ui;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
