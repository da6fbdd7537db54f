//! The gateway in front of a gRPC service that it was not built with, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic like the test itself"
)]

mod dialects;
mod faults;
mod learning;
mod native;
mod requests;
mod smuggling;
mod streams;
mod support;
mod unary;
mod uploads;
mod upstreams;
