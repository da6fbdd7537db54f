#![doc = include_str!("../README.md")]

pub use chassis::client::{self, ClientSettings, Upstream};
pub use chassis::error::Fault;
pub use chassis::{
    Flag, Process, Program, Server, auth, changes, config, crash, deadline, error, faults, main,
    main_of, metrics, observe, page, rpc, server, telemetry, time, tls,
};
pub use contract;
pub use tokio_util::sync::CancellationToken;

#[cfg(feature = "desk")]
pub use desk::{self, Desk};
#[cfg(feature = "events")]
pub use events;
#[cfg(feature = "eventsourcing")]
pub use eventsourcing;
#[cfg(feature = "requests")]
pub use requests;
#[cfg(feature = "saga")]
pub use saga;
#[cfg(feature = "store")]
pub use store::{self, Database};

pub use anyhow;
pub use bytes;
pub use chrono;
pub use futures;
pub use http;
pub use prometheus_client;
pub use prost;
pub use prost_types;
pub use serde;
#[cfg(feature = "store")]
pub use sqlx;
pub use tokio;
pub use tokio_stream;
pub use tokio_util;
pub use tonic;
pub use tonic_prost;
pub use tower;
pub use tracing;
pub use uuid;

/// Includes the contracts that `codegen::Builder` generated from the build script of this package.
///
/// ```ignore
/// /// The generated contracts.
/// pub mod protos {
///     protomesh::include_protos!();
/// }
/// ```
#[macro_export]
macro_rules! include_protos {
    () => {
        #[allow(
            missing_docs,
            unreachable_pub,
            dead_code,
            clippy::all,
            clippy::pedantic
        )]
        mod generated {
            ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/protos.rs"));
        }
        pub use generated::*;
    };
}
