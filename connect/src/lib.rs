#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "queues of tests need no bound")
)]

mod delivery;
mod error;
mod intake;
mod metrics;
mod pb;
mod pipeline;
mod rpc;
mod runner;
mod settings;
mod source;
mod store;
mod target;

use std::collections::HashMap;
use std::sync::Arc;

use ::store::Database;
use chassis::Task;
use chassis::config::ConfigError;
use sqlx::migrate::Migrator;
use tokio::sync::Semaphore;

use crate::intake::Intake;
use crate::pb::mesh::connect::v1::connect_service_server::ConnectServiceServer;
use crate::source::Sources;
use crate::store::Store;
use crate::target::Targets;

pub use pb::{FILE_DESCRIPTOR_SET, METHODS};
pub use settings::{Config, PROGRAM};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Compiles the sources against the contracts of their targets, starts their tasks and returns the
/// server.
///
/// # Errors
/// A source that is wrong, named with its file and key; a target or a database that can't be
/// reached in time.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    // A job that migrates the database has no sources.
    let declared = match process.task() {
        Task::Migrate(_) => Vec::new(),
        Task::Serve => config.load()?,
    };
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[&MIGRATIONS],
    )
    .await?;
    let store = Store::new(database.pool().clone());
    let methods: Vec<&str> = declared
        .iter()
        .map(|own| own.into.method.as_str())
        .collect();
    let targets = Targets::learn(&process, &config, &store, &methods).await?;
    let sources = Arc::new(Sources::compile(declared, &targets)?);
    store.register(&sources.names()).await?;
    let intake = open(&sources, &store)?;
    runner::start(&process, &config, &store, &sources, intake);
    let service = rpc::Connect {
        store,
        sources,
        uploads: Arc::new(Semaphore::new(config.uploads)),
        spool_max_bytes: config.spool_max_bytes.cast_signed(),
        call_timeout: config.call_timeout(),
        draining: process.draining(),
    };
    let service = database.guard(ConnectServiceServer::new(service));
    Ok(chassis::Server::new(pb::FILE_DESCRIPTOR_SET, pb::METHODS)
        .add_service(service)
        .ready_when(database.readiness()))
}

/// Opens the intake of all sources: two of them can't claim the same files.
fn open(sources: &Sources, store: &Store) -> Result<Vec<Intake>, ConfigError> {
    let mut owners = HashMap::new();
    let mut all = Vec::new();
    for source in sources.iter() {
        let intake = Intake::open(source.settings(), store.clone())?;
        if let Some(path) = intake.directory()
            && let Some(other) = owners.insert(path.to_owned(), source.name().to_owned())
        {
            let problem = format!("source `{other}` reads the same directory");
            return Err(source.settings().error("from.path", problem));
        }
        all.push(intake);
    }
    Ok(all)
}
