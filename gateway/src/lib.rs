//! The server that fronts any gRPC backend with JSON over HTTP, streams included; it learns the API by server reflection.

mod arriving;
mod call;
mod catalog;
mod config;
mod directory;
mod edge;
mod error;
mod explain;
mod explorer;
mod frames;
mod gateway;
mod learn;
mod multipart;
mod native;
mod openapi;
mod pages;
mod requests;
mod rest;
mod stream;
mod upload;
mod view;
mod websocket;

use std::sync::Arc;

use anyhow::Context;
use chassis::client::Upstream;
use chassis::{Flag, Process, Server};
use tower::service_fn;

use crate::directory::Directory;
use crate::gateway::Gateway;

pub use config::{
    Config, Dialect, EmitDefaults, OpenApiSettings, TrailingSlash, UnknownFields, WebSocketSettings,
};

/// The documented default of every key of [`Config`], in TOML.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Command line flags beside those of every process.
pub const FLAGS: &[Flag] = &[Flag {
    name: "upstream",
    key: "upstreams",
    help: "A gRPC server to front, as http://host:port; may be repeated",
}];

/// Starts to learn the upstreams and returns the server, which answers 503 for what is not learned yet.
///
/// # Errors
/// A configuration that does not fit, with the key that is wrong.
pub async fn start(process: Process, config: Config) -> anyhow::Result<Server> {
    config.validate()?;
    let connect = |url: &String| {
        let upstream = Upstream::connect_lazy(url, &process.settings().client, &[]);
        upstream.map(|upstream| (url.clone(), upstream))
    };
    let upstreams: Result<Vec<_>, _> = config.upstreams.iter().map(connect).collect();
    let directory = Directory::new(upstreams?, config.transcoding(), process.metrics().clone())
        .context("empty catalog")?;
    let directory = Arc::new(directory);
    for index in 0..config.upstreams.len() {
        let watch = learn::watch(directory.clone(), index, config.clone(), process.shutdown());
        process.spawn("learn", watch);
    }
    let gateway = Gateway::new(config, directory.clone(), process);
    let service = service_fn(move |request| gateway.clone().serve(request));
    Ok(Server::from_service(service).ready_when(move || directory.catalog().complete))
}
