//! What every process of a mesh needs: config, telemetry, server, client, policy layers, errors, shutdown.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

pub mod changes;
pub mod client;
pub mod config;
pub mod crash;
pub mod error;
mod faults;
mod gather;
mod lock;
pub mod metrics;
pub mod observe;
pub mod page;
mod policy;
mod process;
mod reload;
mod run;
pub mod server;
pub mod telemetry;
pub mod time;
pub mod tls;

#[cfg(test)]
mod testing;

pub use policy::{deadline, stalled};
pub use process::Process;
pub use reload::Reloads;
pub use run::{Flag, main, main_with_flags};
pub use server::Server;
