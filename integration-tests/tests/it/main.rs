//! The end-to-end tests: one binary, one module per behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "tests may panic, and their peers are plain tonic"
)]

mod access;
mod anywhere;
mod authenticated;
mod broker;
mod browser;
mod clients;
mod consumers;
mod dashboard;
mod database;
mod desk;
mod devtools;
mod event_store;
mod events;
mod expectations;
mod gateway;
mod grpcurl;
mod identity;
mod ingest;
mod ledger;
mod migrations;
mod order_history;
mod requests;
mod returns;
mod saga_library;
mod sagas;
mod schema;
mod shipping;
mod stock;
mod stuck;
mod trace;
mod upgrades;
