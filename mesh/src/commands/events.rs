//! `mesh events`: parked and stopped keys, and the streams that are rebuilt.

mod stopped;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use events::parking::{self, ParkedKey};
use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::home::{Home, StateDir};
use crate::services::{POSTGRES, SERVICES};
use crate::snapshot::Snapshot;
use crate::stack::postgres;
use crate::stack::secrets::Secrets;
use crate::ui;

/// Most keys listed per service; more have a common cause.
const LIMIT: u32 = 1000;

/// The verbs of `events`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Lists the keys that are parked because one of their events could not be applied
    Parked(Listing),
    /// Lists the keys whose events are not published: their stream disagrees, or refuses one
    Stopped(Listing),
    /// Decides about a stopped key
    Resume(Resume),
    /// Deletes a stream and publishes it again from the archive of its service
    Rebuild(Rebuild),
}

/// The arguments of `events resume`.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// Service that publishes the key
    service: String,
    /// Context of the events, as `events stopped` shows it before the dot
    context: String,
    /// The key
    key: String,
    /// `retry` after the cause is mended; `renumber` keeps what the stream has and appends the
    /// waiting events; `discard` drops the first waiting event
    #[arg(long)]
    by: Decision,
}

/// The arguments of `events rebuild`.
#[derive(Debug, clap::Args)]
pub struct Rebuild {
    /// Service that publishes the events
    service: String,
    /// Context of the events; its stream is EVT_ and this name
    context: String,
}

/// The decisions about a stopped key.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Decision {
    Retry,
    Renumber,
    Discard,
}

/// The arguments of `events parked` and `events stopped`.
#[derive(Debug, clap::Args)]
pub struct Listing {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// A parked key as scripts read it.
#[derive(Debug, Serialize)]
pub struct Entry {
    service: &'static str,
    consumer: String,
    aggregate: String,
    key: String,
    reason: String,
    attempts: i32,
    /// Number of parked events of the key, the failed one included.
    waiting: i64,
    /// RFC 3339, UTC.
    since: String,
}

pub(super) async fn events(verb: Verb) -> Result<ExitCode> {
    let mesh = Mesh::running()?;
    match verb {
        Verb::Parked(args) => {
            let entries = parked(|service| mesh.database(service)).await?;
            args.print(&entries, table)?;
        }
        Verb::Stopped(args) => args.print(&stopped::list(&mesh).await?, stopped::table)?,
        Verb::Resume(args) => stopped::resume(&mesh, &args).await?,
        Verb::Rebuild(args) => stopped::rebuild(&mesh, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

// === impl Listing ===

impl Listing {
    fn print<T: Serialize>(&self, entries: &[T], table: fn(&[T]) -> String) -> Result<()> {
        ui::print(match self.json {
            true => serde_json::to_string_pretty(entries)?,
            false => table(entries),
        });
        Ok(())
    }
}

/// The engines of the mesh that is up.
struct Mesh {
    snapshot: Snapshot,
    secrets: Secrets,
}

// === impl Mesh ===

impl Mesh {
    fn running() -> Result<Self> {
        let home = Home::of_checkout()?;
        let snapshot = Snapshot::load(&home.mesh());
        let (Some(snapshot), None) = (snapshot, StateDir::checkout(&home)?) else {
            bail!("the mesh is not up");
        };
        let secrets = Secrets::load(&home.mesh()).unwrap_or_default();
        Ok(Self { snapshot, secrets })
    }

    /// Returns the URL of the database of `service`.
    fn database(&self, service: &str) -> Result<String> {
        postgres::url(self.address(POSTGRES)?, &self.secrets, service)
    }

    fn address(&self, process: &str) -> Result<SocketAddr> {
        let process = self.snapshot.processes.get(process);
        Ok(process
            .context("the mesh that is up has no engines")?
            .address)
    }
}

/// Returns the parked keys of every service that consumes events; `url` gives the database of a
/// service.
///
/// # Errors
/// When a database can't be read.
pub async fn parked(url: impl Fn(&str) -> Result<String>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for service in SERVICES {
        let found = parked_in(&url(service.name)?)
            .await
            .with_context(|| format!("cannot read the parked keys of {}", service.name))?;
        entries.extend(found.into_iter().map(|key| entry(service.name, key)));
    }
    Ok(entries)
}

async fn parked_in(url: &str) -> Result<Vec<ParkedKey>> {
    let Some(pool) = open(url, "events.parked").await? else {
        return Ok(Vec::new());
    };
    let keys = parking::list(&pool, None, LIMIT).await?;
    pool.close().await;
    Ok(keys)
}

/// Connects to a database; `None` if it does not have the table.
async fn open(url: &str, table: &str) -> Result<Option<PgPool>> {
    let pool = PgPoolOptions::new().max_connections(2).connect(url).await?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(&pool)
        .await?;
    Ok(exists.then_some(pool))
}

fn entry(service: &'static str, key: ParkedKey) -> Entry {
    Entry {
        service,
        consumer: key.consumer,
        aggregate: format!("{}.{}", key.context, key.aggregate),
        key: key.key,
        reason: key.reason,
        attempts: key.attempts,
        waiting: key.count,
        since: key.since.to_rfc3339(),
    }
}

/// Lays parked keys out as a table.
pub fn table(entries: &[Entry]) -> String {
    let header = [
        "service",
        "consumer",
        "aggregate",
        "key",
        "attempts",
        "waiting",
        "since",
        "reason",
    ];
    lay_out("no parked keys", header, entries, |entry| {
        [
            entry.service.to_owned(),
            entry.consumer.clone(),
            entry.aggregate.clone(),
            entry.key.clone(),
            entry.attempts.to_string(),
            entry.waiting.to_string(),
            entry.since.clone(),
            entry.reason.clone(),
        ]
    })
}

/// Lays entries out as a table with one line each; `none` if there are none.
fn lay_out<T, const N: usize>(
    none: &str,
    header: [&str; N],
    entries: &[T],
    cells: impl Fn(&T) -> [String; N],
) -> String {
    if entries.is_empty() {
        return none.to_owned();
    }
    let one_line = |cell: String| cell.replace(['\n', '\r'], " ");
    let lines = entries
        .iter()
        .map(|entry| cells(entry).map(one_line).to_vec());
    let header = header.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    ui::table(&rows)
}
