//! The gateway in front of a gRPC service that it was not built with, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic like the test itself"
)]

mod access_log;
mod dialects;
mod explain;
mod learning;
mod metrics;
mod native;
mod requests;
mod seen;
mod streams;
mod support;
mod traces;
mod unary;
mod uploads;
mod websocket;
