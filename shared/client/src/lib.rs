#![doc = include_str!("../README.md")]

mod breaker;
mod cluster;
mod endpoint;
mod exchange;
mod failure;
mod payload;
mod reply;
mod retry;
mod settings;
mod split;
mod tls;
mod upstream;

#[cfg(test)]
mod testing;

pub use rpc::safety::Safety;
pub use settings::{
    ClientSettings, MirrorSettings, TlsSettings, UpstreamSettings, VersionSettings,
};
pub use upstream::{Grace, OneMessage, Upstream};
