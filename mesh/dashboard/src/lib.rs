#![doc = include_str!("../README.md")]

mod desk;
mod facts;
mod fetch;
mod guard;
mod live;
mod logs;
mod metrics;
mod pages;
mod processes;
mod respond;
mod server;
mod traces;

pub use processes::ProcessRow;
pub use server::{Dashboard, Inputs, TraceSource};
