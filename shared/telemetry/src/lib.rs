#![doc = include_str!("../README.md")]

pub mod metrics;
pub mod observe;
mod pipeline;
mod trace;

pub use metrics::Metrics;
pub use pipeline::{LogFormat, Settings, Telemetry, TraceWhen, init};
pub use trace::{current_traceparent, inject, link, record_status, set_parent};
