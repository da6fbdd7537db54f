//! Runs a consumer: pulls messages, applies or parks each, and acknowledges.

mod budget;
mod coverage;
mod declare;
mod dispatch;
mod predecessors;
mod settle;

pub(crate) use dispatch::run;
