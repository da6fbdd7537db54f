//! The mesh on one machine: engines, databases, services and gateway, started, supervised and stopped.
//!
//! The `mesh` command and the integration tests use the same [`Stack`]: what a test kills and restarts is what `up` runs.

pub mod cargo;
pub mod commands;
pub mod engines;
pub mod home;
pub mod os;
pub mod services;
pub mod stack;
pub mod ui;

mod demo;
mod probe;
mod supervise;

pub use engines::Engines;
pub use home::{Home, StateDir};
pub use stack::{Stack, StackOptions};
pub use supervise::{ProcessStatus, State};
pub use ui::Ui;
