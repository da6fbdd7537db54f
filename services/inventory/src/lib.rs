//! Stock and reservations: the pieces in the warehouse and the orders that hold them.

#![allow(missing_docs, reason = "the module heads say what each room is for")]

pub mod error;
pub mod model;
pub mod rpc;
pub mod store;

use anyhow::Context;
use protos::inventory::v1::inventory_service_server::InventoryServiceServer;
use serde::Deserialize;
use sqlx::postgres::PgPoolOptions;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
}

/// Opens the database, brings its schema up to date and returns the server.
pub async fn start(_: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let pool = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .connect(&config.database_url)
        .await
        .context("database_url: can't connect")?;
    sqlx::migrate!()
        .run(&pool)
        .await
        .context("migrating the database")?;
    Ok(
        chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
            .add_service(InventoryServiceServer::new(rpc::Inventory { pool })),
    )
}
