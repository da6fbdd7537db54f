#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

pub mod changes;
pub mod config;
pub mod crash;
pub mod page;
mod process;
mod reload;
mod run;
pub mod time;

pub use auth;
pub use client;
pub use process::{Direction, Migration, Process, Reloads, Task};
pub use rpc::body::stalled;
pub use rpc::{self, deadline, error, faults, tls};
pub use run::{Flag, Program, main, main_of};
pub use server::{self, Server};
pub use telemetry::{self, metrics, observe};
