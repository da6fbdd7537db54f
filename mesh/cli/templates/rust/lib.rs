//! Keeps items and counts them.

pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use protomesh::serde::Deserialize;
use protomesh::{Database, Desk, Process, Server, anyhow, changes::Watchers, desk};

use crate::protos::{{name}}::v1::{{name}}_service_server::{{Name}}ServiceServer;

/// The generated contracts of the project.
pub mod protos {
    protomesh::include_protos!();
}

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The configuration; `config.default.toml` documents the keys.
#[derive(Deserialize)]
#[serde(crate = "protomesh::serde")]
pub struct Config {
    database_url: String,
    database_connections: u32,
    watchers: usize,
    database: protomesh::store::Settings,
    events: protomesh::events::Settings,
}

/// Opens the database, starts relay and consumer, and returns the server.
pub async fn start(process: Process, config: Config) -> anyhow::Result<Server> {
    let Config { database_url: url, database_connections: connections, .. } = config;
    let tables = [&protomesh::events::MIGRATIONS, &desk::MIGRATIONS, &protos::MIGRATIONS];
    let database = Database::open(&process, &url, connections, &config.database, &tables).await?;
    let (pool, consumers) = (database.pool().clone(), [events::consumer()]);
    let bus =
        protomesh::events::serve(&process, &config.events, pool.clone(), consumers.clone()).await?;
    // What `mesh events` shows and repairs.
    let desk = Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?
        .with_events(bus.clone(), consumers);
    let watchers = Watchers::new(config.watchers, process.draining());
    let service = {{Name}}ServiceServer::new(rpc::{{Name}} { pool, bus, watchers });
    let server = Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(service))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
}
