//! `mesh events`: the dead-letter desk.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use events::parking::{self, ParkedKey};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;

use crate::home::{Home, StateDir};
use crate::services::{POSTGRES, SERVICES};
use crate::snapshot::Snapshot;
use crate::stack::postgres;
use crate::stack::secrets::Secrets;
use crate::ui;

/// Most keys that are listed of one service; when there are more, what parked them is one cause.
const LIMIT: u32 = 1000;

/// The verbs of `events`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Lists the keys that stand still because a fact of theirs could not be applied
    Parked(Parked),
}

/// The arguments of `events parked`.
#[derive(Debug, clap::Args)]
pub struct Parked {
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
    /// Facts of the key that are set aside, the failed one included.
    waiting: i64,
    /// RFC 3339, UTC.
    since: String,
}

pub(super) async fn events(verb: Verb) -> Result<ExitCode> {
    let Verb::Parked(args) = verb;
    let home = Home::of_checkout()?;
    let snapshot = Snapshot::load(&home.mesh());
    let (Some(snapshot), None) = (snapshot, StateDir::checkout(&home)?) else {
        bail!("the mesh is not up");
    };
    let address = snapshot
        .processes
        .get(POSTGRES)
        .context("the mesh that is up has no databases")?
        .address;
    let secrets = Secrets::load(&home.mesh()).unwrap_or_default();
    let entries = parked(|service| postgres::url(address, &secrets, service)).await?;
    if args.json {
        ui::print(serde_json::to_string_pretty(&entries)?);
    } else {
        ui::print(table(&entries));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the parked keys of every service that consumes events; `url` gives the database of a service.
///
/// # Errors
/// When a database can't be read.
pub async fn parked(url: impl Fn(&str) -> Result<String>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for service in SERVICES {
        let found = parked_in(&url(service.name)?)
            .await
            .with_context(|| format!("cannot read what {} has parked", service.name))?;
        entries.extend(found.into_iter().map(|key| entry(service.name, key)));
    }
    Ok(entries)
}

async fn parked_in(url: &str) -> Result<Vec<ParkedKey>> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let consumes: bool = sqlx::query_scalar("SELECT to_regclass('events.parked') IS NOT NULL")
        .fetch_one(&pool)
        .await?;
    let keys = if consumes {
        parking::list(&pool, None, LIMIT).await?
    } else {
        Vec::new()
    };
    pool.close().await;
    Ok(keys)
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
    if entries.is_empty() {
        return "nothing is parked".to_owned();
    }
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
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(entries.iter().map(|entry| {
        vec![
            entry.service.to_owned(),
            entry.consumer.clone(),
            entry.aggregate.clone(),
            entry.key.clone(),
            entry.attempts.to_string(),
            entry.waiting.to_string(),
            entry.since.clone(),
            entry.reason.replace(['\n', '\r'], " "),
        ]
    }));
    ui::table(&rows)
}
