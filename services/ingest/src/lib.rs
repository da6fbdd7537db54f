//! Imports of order files: bytes become rows, rows become invoices, and rejected rows are kept with
//! their reasons.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use std::sync::Arc;

use ::store::Database;
use anyhow::Context;
use chassis::config::ConfigError;
use desk::Desk;
use protos::ingest::v1::ingest_service_server::IngestServiceServer;
use serde::Deserialize;
use sqlx::migrate::Migrator;
use tokio::sync::Semaphore;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    database: ::store::Settings,
    sources: String,
    uploads: usize,
    watchers: usize,
    events: ::events::Settings,
}

/// Opens database and bus, starts relay and consumers and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let sources = Arc::new(config.check()?);
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[&::events::MIGRATIONS, &desk::MIGRATIONS, &MIGRATIONS],
    )
    .await?;
    let pool = database.pool().clone();
    let consumers = [
        events::order_consumer(sources.clone()),
        events::return_consumer(sources.clone()),
    ];
    let bus = ::events::serve(&process, &config.events, pool.clone(), consumers.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let desk = Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?
        .with_events(bus.clone(), consumers);
    let service = rpc::Ingest::new(
        pool,
        bus,
        sources,
        config.uploads,
        config.watchers,
        process.draining(),
    );
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(IngestServiceServer::new(service)))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
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
