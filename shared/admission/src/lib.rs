#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

mod budget;
mod client;
mod controller;
mod estimate;
mod hold;
mod limiter;
mod queue;
mod settings;
mod state;

#[cfg(test)]
mod tests;

pub use budget::{Budget, BudgetStatus, Evict, Excess, Holding, Part, REQUEST_BYTES, Unread};
pub use client::{Client, Request};
pub use hold::Hold;
pub use limiter::{Limiter, Permit};
pub use settings::AdmissionSettings;
pub use state::{Refusal, Status};
