//! Parcels of paid orders.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use ::store::Database;
use anyhow::Context;
use chassis::config::ConfigError;
use desk::Desk;
use protos::shipping::v1::shipping_service_server::ShippingServiceServer;
use serde::Deserialize;
use sqlx::migrate::Migrator;

use crate::model::Carrier;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    max_pieces: i64,
    database: ::store::Settings,
    events: ::events::Settings,
}

/// Opens the database, starts relay and consumer, and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let carrier = carrier(config.max_pieces)?;
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[&::events::MIGRATIONS, &desk::MIGRATIONS, &MIGRATIONS],
    )
    .await?;
    let pool = database.pool().clone();
    let consumers = [events::consumer(carrier)];
    let bus = ::events::serve(&process, &config.events, pool.clone(), consumers.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let desk =
        Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?.with_events(bus, consumers);
    let shipping = rpc::Shipping { pool };
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(ShippingServiceServer::new(shipping)))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
}

fn carrier(max_pieces: i64) -> Result<Carrier, ConfigError> {
    if max_pieces < 1 {
        let problem = format!("expected a number above 0, got {max_pieces}");
        return Err(ConfigError::new("max_pieces", problem, "the configuration"));
    }
    Ok(Carrier { max_pieces })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_that_takes_nothing_is_rejected() {
        assert!(carrier(1).is_ok());
        assert_eq!(carrier(0).unwrap_err().key, "max_pieces");
    }
}
