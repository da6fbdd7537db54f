//! Runs a consumer: pulls messages, applies or parks each, and acknowledges.

mod batch;
mod budget;
mod calls;
mod coverage;
mod declare;
mod dispatch;
mod expiry;
mod lag;
mod look;
mod predecessors;
mod queues;
mod reread;
mod settle;

pub(crate) use dispatch::run;
pub use lag::Lag;
