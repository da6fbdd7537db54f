//! The gateway in front of a gRPC service that it was not built with, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may panic like the test itself"
)]

mod compression;
mod conditional;
mod cors;
mod deadlines;
mod dialects;
mod faults;
mod foreign;
mod learning;
mod metadata;
mod native;
mod reload;
mod requests;
mod smuggling;
mod streams;
mod support;
mod swap;
mod unary;
mod uploads;
mod upstreams;
mod websocket;
