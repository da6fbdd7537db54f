//! Opens the database of a service: migrations, pool, probe.

use std::time::Duration;

use chassis::Process;
use chassis::config::ConfigError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::{Instant, sleep};

use crate::guard::Guard;
use crate::health::{Health, Probe};
use crate::outage::{is_outage, is_outage_of_migration};
use crate::settings::Settings;

/// Pause between two attempts to reach the database at the start.
const CONNECT_PAUSE: Duration = Duration::from_millis(250);

/// The open database of a service; clones share its pool.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    health: Health,
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `database_url` is no URL of a Postgres database.
    #[error("database_url: invalid")]
    Url(#[source] sqlx::Error),
    /// The database could not be reached within `connect_timeout_ms`, or refuses the role.
    #[error("database_url: can't connect")]
    Connect(#[source] sqlx::Error),
    /// A migration failed.
    #[error("migrating the database")]
    Migrate(#[from] MigrateError),
}

// === impl Database ===

impl Database {
    /// Reaches the database, applies `migrations` in their order, and opens a pool of at most
    /// `connections`.
    ///
    /// A database that is away is tried again until `connect_timeout_ms` has passed. Migrations run
    /// on a connection without the timeouts of `settings`; several processes may start at once.
    /// A background task of `process` follows whether the database answers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(
        process: &Process,
        url: &str,
        connections: u32,
        settings: &Settings,
        migrations: &[&Migrator],
    ) -> Result<Self, Error> {
        check(connections, settings)?;
        let options: PgConnectOptions = url.parse().map_err(Error::Url)?;
        let options = settings
            .keep_alive(options)
            .application_name(process.name());
        migrate(&options, settings, migrations).await?;
        let options = settings.bound(options);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(settings.acquire_timeout())
            .connect_with(options.clone())
            .await
            .map_err(Error::Connect)?;
        let (probe, health) = Probe::new(pool.clone(), options);
        let shutdown = process.shutdown();
        process.spawn("database", async move {
            probe.run(shutdown).await;
            Ok::<_, Error>(())
        });
        Ok(Self { pool, health })
    }

    /// The pool of connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Returns a check for `GET /readyz`: true while the database answers. It turns false within
    /// 2 s of an outage, and true again when the database is back.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let health = self.health.clone();
        move || health.is_available()
    }

    /// Wraps a service whose calls need the database; see [`Guard`].
    pub fn guard<S>(&self, service: S) -> Guard<S> {
        Guard::new(service, self.health.clone())
    }
}

fn check(connections: u32, settings: &Settings) -> Result<(), ConfigError> {
    let source = "the configuration";
    if connections == 0 {
        let problem = "expected a number above 0, got 0";
        return Err(ConfigError::new("database_connections", problem, source));
    }
    match settings.invalid() {
        Some((key, problem)) => Err(ConfigError::new(format!("database.{key}"), problem, source)),
        None => Ok(()),
    }
}

async fn migrate(
    options: &PgConnectOptions,
    settings: &Settings,
    migrations: &[&Migrator],
) -> Result<(), Error> {
    let deadline = Instant::now() + settings.connect_timeout();
    loop {
        let error = match attempt(options, migrations).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let away = match &error {
            Error::Connect(error) => is_outage(error),
            Error::Migrate(error) => is_outage_of_migration(error),
            _ => false,
        };
        if !away || Instant::now() + CONNECT_PAUSE > deadline {
            return Err(error);
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "database not reachable, trying again"
        );
        sleep(CONNECT_PAUSE).await;
    }
}

async fn attempt(options: &PgConnectOptions, migrations: &[&Migrator]) -> Result<(), Error> {
    let mut connection = options.connect().await.map_err(Error::Connect)?;
    for migrations in migrations {
        migrations.run(&mut connection).await?;
    }
    connection.close().await.map_err(Error::Connect)
}
