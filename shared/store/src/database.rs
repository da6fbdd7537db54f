//! Opens the database of a service: migrations, pool, probe.

use std::io::ErrorKind;
use std::time::Duration;

use chassis::config::ConfigError;
use chassis::{Migration, Process, Task};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::{Instant, sleep, timeout};

use crate::error::Error;
use crate::guard::Guard;
use crate::health::{Health, Probe};
use crate::outage::{is_outage, is_outage_of_migration};
use crate::schema::{Set, migrate};
use crate::settings::Settings;

/// Pause between two attempts to reach the database at the start.
const CONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Limit of one attempt: an address that nothing answers on would keep the first one for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an outage at the start may last before it is logged. A database that starts with its
/// service is no news.
const FIRST_NOTICE: Duration = Duration::from_secs(1);

/// Interval of log lines about an outage that lasts.
const NOTICE_INTERVAL: Duration = Duration::from_secs(3);

/// The problem of a process without a URL.
const NO_URL: &str = "not set: expected the URL of a Postgres database, such as `postgres://user:password@host:5432/name`, in PROTOMESH_DATABASE_URL or in the file of `--config`";

/// The work on the schema before a database is opened.
#[derive(Clone, Copy, Debug)]
enum Work<'a> {
    /// Does as the verb `migrate` was told, in the process of this name.
    Wish(&'a str, &'a Migration),
    /// Applies what is missing.
    Apply,
    /// Checks that nothing is missing.
    Compare,
}

/// The open database of a service; clones share its pool.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    health: Health,
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
    /// With the verb `migrate` the process ends here, once the schema is as it was asked for.
    /// Without it, and with `database.migrate` off, migrations are only compared with the applied
    /// ones. Further ones in the database are right: those of a newer program, which this one has
    /// to get along with while it is replaced. It does not start on one that is named
    /// `contract after N` with an N that it does not have: what that removes, it uses.
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
        check(url, connections, settings)?;
        let options: PgConnectOptions = url.parse().map_err(Error::Url)?;
        let options = settings
            .keep_alive(options)
            .application_name(process.name());
        let sets = migrations.iter().map(|own| Set::new(own, process.name()));
        let sets: Vec<Set<'_>> = sets.collect();
        let work = match process.task() {
            Task::Migrate(wish) => Work::Wish(process.name(), wish),
            Task::Serve if settings.migrate => Work::Apply,
            Task::Serve => Work::Compare,
        };
        prepare(&options, settings, &sets, work).await?;
        if matches!(work, Work::Wish(..)) {
            tracing::info!("done with the schema");
            match process.end().await {}
        }
        let options = settings.bound(options);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(settings.acquire_timeout())
            .connect_with(options.clone())
            .await
            .map_err(Error::Connect)?;
        let watched = options.connect().await.map_err(Error::Connect)?;
        let (probe, health) = Probe::new(watched, options);
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

fn check(url: &str, connections: u32, settings: &Settings) -> Result<(), ConfigError> {
    let source = "the configuration";
    if url.is_empty() {
        return Err(ConfigError::new("database_url", NO_URL, source));
    }
    if connections == 0 {
        let problem = "expected a number above 0, got 0";
        return Err(ConfigError::new("database_connections", problem, source));
    }
    match settings.invalid() {
        Some((key, problem)) => Err(ConfigError::new(format!("database.{key}"), problem, source)),
        None => Ok(()),
    }
}

/// Reaches the database and applies the migrations, or compares them with the applied ones.
async fn prepare(
    options: &PgConnectOptions,
    settings: &Settings,
    sets: &[Set<'_>],
    work: Work<'_>,
) -> Result<(), Error> {
    let deadline = Instant::now() + settings.connect_timeout();
    let mut notices = Notices::new();
    loop {
        let error = match attempt(options, sets, work).await {
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
        if notices.is_due() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                host = options.get_host(),
                port = options.get_port(),
                database = options.get_database().unwrap_or_default(),
                gives_up_in = ?deadline.saturating_duration_since(Instant::now()),
                "database not reachable, trying again"
            );
        }
        sleep(CONNECT_PAUSE).await;
    }
}

async fn attempt(
    options: &PgConnectOptions,
    sets: &[Set<'_>],
    work: Work<'_>,
) -> Result<(), Error> {
    let connected = timeout(CONNECT_TIMEOUT, options.connect()).await;
    let silent = |_| Error::Connect(sqlx::Error::Io(ErrorKind::TimedOut.into()));
    let mut connection = connected.map_err(silent)?.map_err(Error::Connect)?;
    match work {
        Work::Wish(process, wish) => migrate(&mut connection, sets, process, wish).await?,
        Work::Apply => {
            for set in sets {
                set.up(&mut connection, None).await?;
            }
        }
        Work::Compare => {
            for set in sets {
                set.compare(&mut connection).await?;
            }
        }
    }
    connection.close().await.map_err(Error::Connect)
}

/// When an outage at the start is logged: soon, and then every few seconds.
struct Notices {
    next: Instant,
}

// === impl Notices ===

impl Notices {
    fn new() -> Self {
        Self {
            next: Instant::now() + FIRST_NOTICE,
        }
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + NOTICE_INTERVAL;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::{Layers, Sources};

    use super::*;

    async fn opened(url: &str, settings: Settings) -> Error {
        let layers = Layers::load("", &Sources::default()).unwrap();
        let process = Process::new("test", layers.settings().unwrap());
        let opened = Database::open(&process, url, 1, &settings, &[]).await;
        opened.unwrap_err()
    }

    #[tokio::test]
    async fn a_url_that_is_not_set_names_the_variable() {
        let error = opened("", Settings::default()).await.to_string();
        for part in ["database_url", "not set", "PROTOMESH_DATABASE_URL"] {
            assert!(error.contains(part), "{part} is missing: {error}");
        }
        let error = opened("orders", Settings::default()).await.to_string();
        assert!(error.contains("postgres://user"), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_accepts_and_never_answers_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://a:b@{}/c", silent.local_addr().unwrap());
        let settings = Settings {
            connect_timeout_ms: 1,
            ..Settings::default()
        };
        let error = opened(&url, settings).await;
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_logged_soon_and_then_every_few_seconds() {
        let mut notices = Notices::new();
        let mut due = Vec::new();
        for _ in 0..40 {
            due.push(notices.is_due());
            tokio::time::advance(CONNECT_PAUSE).await;
        }
        let at: Vec<usize> = (0..40).filter(|at| due[*at]).collect();
        assert_eq!(at, [4, 16, 28]);
    }
}
