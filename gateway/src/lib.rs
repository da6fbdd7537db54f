//! The server that fronts any gRPC backend with JSON over HTTP, streams included; it learns the API by server reflection.

mod arriving;
mod call;
mod catalog;
mod config;
mod directory;
mod edge;
mod error;
mod frames;
mod gateway;
mod learn;
mod native;
mod requests;
mod rest;
mod stream;
mod upload;
mod view;

use std::sync::Arc;

use anyhow::Context;
use chassis::client::{Upstream, UpstreamSettings};
use chassis::{Flag, Process, Server};
use tower::service_fn;

use crate::directory::Directory;
use crate::gateway::Gateway;

pub use config::{
    Config, Dialect, EmitDefaults, MirrorTable, TrailingSlash, UnknownFields, UpstreamTable,
    VersionTable,
};

/// The documented default of every key of [`Config`], in TOML.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Command line flags beside those of every process.
pub const FLAGS: &[Flag] = &[Flag {
    name: "upstream",
    key: "upstreams",
    help: "A gRPC server to front, as http://host:port or https://host:port; may be repeated",
}];

/// Starts to learn the upstreams and returns the server, which answers 503 for what is not learned yet.
///
/// # Errors
/// A configuration that does not fit, with the key that is wrong.
pub async fn start(process: Process, config: Config) -> anyhow::Result<Server> {
    config.validate()?;
    let settings = config.upstream_settings(&process.settings().client)?;
    let connect = |settings: UpstreamSettings| {
        let name = settings.name.clone();
        let key = format!("upstream.{name}");
        Upstream::new(settings, &key, &[]).map(|upstream| (name, upstream))
    };
    let upstreams: Result<Vec<_>, _> = settings.into_iter().map(connect).collect();
    let directory = Directory::new(upstreams?, config.transcoding()).context("empty catalog")?;
    let directory = Arc::new(directory);
    for index in 0..directory.len() {
        let watch = learn::watch(directory.clone(), index, config.clone(), process.shutdown());
        process.spawn("learn", watch);
    }
    let gateway = Gateway::new(config, directory.clone(), &process);
    let service = service_fn(move |request| gateway.clone().serve(request));
    Ok(Server::from_service(service).ready_when(move || directory.catalog().complete))
}
