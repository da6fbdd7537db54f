//! Orders from placement to their end, and returns.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod saga;
pub mod store;

use std::time::Duration;

use ::store::Database;
use anyhow::Context;
use chassis::{
    changes::Watchers,
    client::Upstream,
    config::{ConfigError, MAX_NUMBER, check_numbers},
};
use desk::Desk;
use protos::{
    inventory::v1::inventory_service_client::InventoryServiceClient,
    orders::v1::orders_service_server::OrdersServiceServer,
    payments::v1::payments_service_client::PaymentsServiceClient,
};
use serde::Deserialize;
use sqlx::{PgPool, migrate::Migrator};

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// The migrations of the service's own tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    database: ::store::Settings,
    inventory_url: String,
    payments_url: String,
    watchers: usize,
    saga_deadline_ms: u64,
    history_patience_ms: u64,
    sagas: ::saga::Settings,
    events: ::events::Settings,
}

/// Opens the database, starts relay, consumer and sagas, and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    start_on(process, config, &MIGRATIONS).await
}

/// Starts as [`start`] does, on a schema with further migrations.
pub async fn start_on(
    process: chassis::Process,
    config: Config,
    schema: &Migrator,
) -> anyhow::Result<chassis::Server> {
    config.check()?;
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[
            &::events::MIGRATIONS,
            &::saga::MIGRATIONS,
            &eventsourcing::MIGRATIONS,
            &desk::MIGRATIONS,
            schema,
        ],
    )
    .await?;
    let pool = database.pool().clone();
    let watchers = Watchers::new(config.watchers, process.draining());
    let saga_deadline = Duration::from_millis(config.saga_deadline_ms);
    let consumers = [events::consumer(saga_deadline), events::parcels()];
    let bus = ::events::serve(&process, &config.events, pool.clone(), consumers.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let peers = peers(&process, &config, pool.clone())?;
    let mut sagas = ::saga::Sagas::new(&process, &config.sagas, pool.clone());
    sagas.serve(saga::ReturnSaga {
        peers: peers.clone(),
        bus: bus.clone(),
    });
    // Orders that were placed under the old definition end by it.
    sagas.serve(saga::OrderSaga::<1> {
        peers: peers.clone(),
        watchers: watchers.clone(),
        bus: bus.clone(),
    });
    let runner = sagas.serve(saga::OrderSaga::<2> {
        peers,
        watchers: watchers.clone(),
        bus: bus.clone(),
    });
    let history = eventsourcing::serve(&process, pool.clone(), store::history::OrderHistory);
    let desk = Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?
        .with_events(bus, consumers)
        .with_sagas(sagas.outlines());
    let orders = rpc::Orders {
        pool,
        saga_deadline,
        sagas: runner,
        watchers,
        history,
        history_patience: Duration::from_millis(config.history_patience_ms),
    };
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(OrdersServiceServer::new(orders)))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
}

impl Config {
    /// Rejects settings with which the service would start and do nothing.
    fn check(&self) -> Result<(), ConfigError> {
        let numbers = [
            ("watchers", self.watchers as u64, MAX_NUMBER),
            ("saga_deadline_ms", self.saga_deadline_ms, MAX_NUMBER),
            ("history_patience_ms", self.history_patience_ms, MAX_NUMBER),
        ];
        check_numbers("", &numbers)?;
        self.sagas.check("sagas")
    }
}

fn peers(process: &chassis::Process, config: &Config, pool: PgPool) -> anyhow::Result<saga::Peers> {
    let inventory = upstream("inventory_url", &config.inventory_url, process)?;
    let payments = upstream("payments_url", &config.payments_url, process)?;
    Ok(saga::Peers {
        pool,
        inventory: InventoryServiceClient::new(inventory),
        payments: PaymentsServiceClient::new(payments),
        step_timeout: config.sagas.step_timeout(),
    })
}

fn upstream(key: &str, url: &str, process: &chassis::Process) -> anyhow::Result<Upstream> {
    let settings = &process.settings().client;
    let upstream = Upstream::connect_lazy(url, settings, protos::METHODS);
    Ok(upstream
        .with_context(|| key.to_owned())?
        .counted(process.metrics()))
}
