//! Stock and reservations: the pieces in the warehouse and the orders that hold them.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use ::store::Database;
use anyhow::Context;
use desk::Desk;
use protos::inventory::v1::inventory_service_server::InventoryServiceServer;
use serde::Deserialize;
use sqlx::migrate::Migrator;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    database: ::store::Settings,
    events: ::events::Settings,
    requests: requests::Settings,
}

/// Opens the database, starts the consumer, offers the calls on the broker too, and returns the
/// server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    config.requests.check("requests")?;
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[&::events::MIGRATIONS, &desk::MIGRATIONS, &MIGRATIONS],
    )
    .await?;
    let pool = database.pool().clone();
    let consumers = [events::consumer()];
    let bus = ::events::serve(&process, &config.events, pool.clone(), consumers.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let broker = bus.broker().clone();
    let desk =
        Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?.with_events(bus, consumers);
    let inventory = rpc::Inventory { pool };
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(InventoryServiceServer::new(inventory)))
        .ready_when(database.readiness());
    let server = requests::offer(server, broker, &config.requests).await?;
    Ok(desk.serve_on(server))
}
