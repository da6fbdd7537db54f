#![doc = include_str!("../README.md")]

pub mod changes;
pub mod config;
pub mod crash;
pub mod page;
mod process;
mod reload;
mod run;
pub mod time;

pub use client;
pub use process::{Process, Reloads};
pub use rpc::body::stalled;
pub use rpc::{self, deadline, error, tls};
pub use run::{Flag, main, main_with_flags};
pub use server::{self, Server};
pub use telemetry::{self, metrics, observe};
