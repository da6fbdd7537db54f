//! The process: its configuration, the generations that a reload swaps, and the ordered stages that
//! every request passes.

mod announce;
mod config;
mod drain_on_close;
mod generations;
mod processes;
mod stages;

use std::sync::Arc;

use chassis::{Flag, Process, Program, Server};
use futures::FutureExt;
use tower::service_fn;

use crate::policy::Stage;
use crate::protocols;
use generations::Generations;

pub use config::Config;

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
    Flag {
        name: "proto",
        key: "schema.descriptors",
        help: "A directory of .proto files that the upstreams serve, or one such file; may be repeated",
    },
];

/// The program, for [`chassis::main_of`].
pub const PROGRAM: Program<'static> = Program {
    name: "gateway",
    about: "Fronts any gRPC backend: REST with JSON, streams, WebSocket, gRPC-Web, Connect and gRPC on one port",
    defaults: DEFAULTS,
    flags: FLAGS,
};

/// Starts to learn the upstreams and returns the server, which answers 503 until they are known
/// and one serves something.
///
/// # Errors
/// A configuration that does not fit, with the key that is wrong.
pub async fn start(process: Process, config: Config) -> anyhow::Result<Server> {
    start_with(process, config, Vec::new()).await
}

/// [`start`] with further stages of policy, which every request of every protocol passes in this
/// order, after the gateway's own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    process: Process,
    config: Config,
    stages: Vec<Box<dyn Stage>>,
) -> anyhow::Result<Server> {
    let reloads = process.reloads();
    let has_explorer = config.openapi.explorer;
    let generations = Generations::begin(process.clone(), config, stages.into()).await?;
    let generations = Arc::new(generations);
    process.spawn("reload", generations.clone().follow(reloads));
    let current = generations.clone();
    let service = service_fn(move |request| current.current().serve(request));
    let is_ready = move || generations.current().directory().catalog().is_ready();
    let announced = announce::announce(process.clone(), is_ready.clone(), has_explorer);
    process.spawn("announcement", announced.map(Ok::<(), anyhow::Error>));
    Ok(Server::from_service(service)
        .sniff_protocol(protocols::label)
        .ready_when(is_ready))
}
