//! The server that fronts any gRPC backend with JSON over HTTP, streams included; it learns the API by server reflection.

mod arriving;
mod call;
mod catalog;
mod compression;
mod config;
mod connect;
mod directory;
mod edge;
mod ending;
mod error;
mod explain;
mod explorer;
mod forwarded;
mod frames;
mod gateway;
mod generation;
mod grpc_web;
mod learn;
mod lingering;
mod messages;
mod multipart;
mod native;
mod openapi;
mod pages;
mod protocol;
mod requests;
mod rest;
mod status;
mod stream;
mod upload;
mod view;
mod websocket;

use std::sync::Arc;

use chassis::{Flag, Process, Server};
use tower::service_fn;

use crate::generation::Generations;

pub use compression::Coding;
pub use config::{
    BreakingChanges, CompressionSettings, ConditionalSettings, Config, CorsSettings, CustomPattern,
    DeadlineSettings, Dialect, EmitDefaults, ErrorSettings, HttpRuleSettings, MetadataSettings,
    MirrorTable, OpenApiSettings, SchemaSettings, SourceSettings, TrailingSlash, UnknownFields,
    UpstreamTable, VersionTable, WebSocketSettings,
};

/// The documented default of every key of [`Config`], in TOML.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Command line flags beside those of every process.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "upstream",
        key: "upstreams",
        help: "A gRPC server to front, as http://host:port or https://host:port; may be repeated",
    },
    Flag {
        name: "descriptors",
        key: "schema.descriptors",
        help: "An encoded FileDescriptorSet of what the upstreams serve; may be repeated",
    },
];

/// Starts to learn the upstreams and returns the server, which answers 503 for what is not learned yet.
///
/// # Errors
/// A configuration that does not fit, with the key that is wrong.
pub async fn start(process: Process, config: Config) -> anyhow::Result<Server> {
    let reloads = process.reloads();
    let generations = Arc::new(Generations::begin(process.clone(), config).await?);
    process.spawn("reload", generations.clone().follow(reloads));
    let current = generations.clone();
    let service = service_fn(move |request| current.current().serve(request));
    Ok(Server::from_service(service)
        .sniff_protocol(protocol::label)
        .ready_when(move || generations.current().directory().catalog().complete))
}
