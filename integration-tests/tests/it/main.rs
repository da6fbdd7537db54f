//! The end-to-end tests: one binary, one module per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test may panic"
)]

mod browser;
mod buf;
mod database;
mod events;
mod gateway;
mod grpcurl;
mod ingest;
mod ledger;
mod returns;
mod sagas;
mod stock;
mod trace;
mod websocket;
