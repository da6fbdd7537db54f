//! Imports of order files: bytes become rows, rows become invoices, and rejected rows are kept with
//! their reasons.

#![allow(missing_docs, reason = "the module heads say what each room is for")]

pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use std::sync::Arc;

use anyhow::Context;
use chassis::config::ConfigError;
use protos::ingest::v1::ingest_service_server::IngestServiceServer;
use serde::Deserialize;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Semaphore;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    sources: String,
    uploads: usize,
    watchers: usize,
    events: ::events::Settings,
}

/// Opens database and bus, starts relay and consumers and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let sources = Arc::new(config.check()?);
    let pool = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .connect(&config.database_url)
        .await
        .context("database_url: can't connect")?;
    ::events::migrate(&pool)
        .await
        .context("migrating the events schema")?;
    sqlx::migrate!()
        .run(&pool)
        .await
        .context("migrating the database")?;
    ::events::set_crash_hook(chassis::crash::point);
    let bus = ::events::connect(&config.events, pool.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let relay = bus.clone();
    let shutdown = process.shutdown();
    process.spawn("relay", async move { relay.run_relay(shutdown).await });
    for consumer in [
        events::order_consumer(sources.clone()),
        events::return_consumer(sources.clone()),
    ] {
        let (bus, shutdown) = (bus.clone(), process.shutdown());
        process.spawn("consumer", async move {
            bus.run_consumer(consumer, shutdown).await
        });
    }
    let service = rpc::Ingest::new(
        pool,
        bus,
        sources,
        config.uploads,
        config.watchers,
        process.draining(),
    );
    Ok(
        chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
            .add_service(IngestServiceServer::new(service)),
    )
}

impl Config {
    /// Reads the declared sources; an invalid setting is an error that names the key.
    fn check(&self) -> Result<model::Sources, ConfigError> {
        let refuse = |key, problem: String| ConfigError::new(key, problem, "the configuration");
        for (key, value) in [("uploads", self.uploads), ("watchers", self.watchers)] {
            if !(1..=Semaphore::MAX_PERMITS).contains(&value) {
                return Err(refuse(
                    key,
                    format!("expected a number above 0, got {value}"),
                ));
            }
        }
        model::Sources::load(&self.sources).map_err(|error| refuse("sources", error.to_string()))
    }
}
