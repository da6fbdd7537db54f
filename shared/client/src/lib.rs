#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

mod attempt;
mod breaker;
mod cluster;
mod endpoint;
mod exchange;
mod payload;
mod response;
mod retry;
mod settings;
mod split;
mod tls;
mod upstream;

#[cfg(test)]
mod testing;

pub use admission::Client;
pub use rpc::safety::Safety;
pub use settings::{
    ClientSettings, MirrorSettings, TlsFiles, TlsSettings, UpstreamSettings, VersionSettings,
};
pub use upstream::{Caller, Grace, OneMessage, Upstream};
