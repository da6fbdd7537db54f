//! The gateway in front of a gRPC service that it was not built with, over real sockets.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "helpers may panic like tests, and peers are plain tonic"
)]

mod access;
mod access_log;
mod any_types;
mod authentication;
mod caching;
mod compression;
mod conditional;
mod connect;
mod cors;
mod cross_site;
mod deadlines;
mod dialects;
mod drain;
mod explain;
mod explorer;
mod faults;
mod foreign;
mod forwarded;
mod grpc_gateway;
mod grpc_web;
mod idempotency;
mod landing;
mod learning;
mod left_out;
mod lies;
mod limits;
mod masks;
mod metadata;
mod metrics;
mod native;
mod overload;
mod parameters;
mod policy_stage;
mod reasons;
mod reload;
mod requests;
mod seen;
mod selectors;
mod smuggling;
mod streams;
mod support;
mod swap;
mod traces;
mod unary;
mod uploads;
mod upstreams;
mod validation;
mod websocket;
mod websocket_rules;
