//! Stopped keys of the services that publish, the decisions about them, and rebuilt streams.

use anyhow::{Context, Result, bail};
use events::stopped::{self, Resolution, StoppedKey};
use serde::Serialize;
use sqlx::PgPool;

use super::{Decision, LIMIT, Mesh, Rebuild, Resume, lay_out, open};
use crate::services::{NATS, SERVICES};
use crate::ui;

/// A stopped key as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct StoppedEntry {
    service: &'static str,
    aggregate: String,
    key: String,
    /// Version of the first event that waits.
    version: i64,
    /// `forked`, `foreign` or `refused`.
    cause: String,
    reason: String,
    /// Number of events that wait.
    waiting: i64,
    /// RFC 3339, UTC.
    since: String,
}

/// Returns the stopped keys of every service that publishes events.
pub(super) async fn list(mesh: &Mesh) -> Result<Vec<StoppedEntry>> {
    let mut entries = Vec::new();
    for service in SERVICES {
        let Some(pool) = publisher(mesh, service.name).await? else {
            continue;
        };
        let keys = stopped::list(&pool, LIMIT).await?;
        entries.extend(keys.into_iter().map(|key| entry(service.name, key)));
        pool.close().await;
    }
    Ok(entries)
}

pub(super) async fn resume(mesh: &Mesh, args: &Resume) -> Result<()> {
    let pool = known_publisher(mesh, &args.service).await?;
    let resolution = match args.by {
        Decision::Retry => Resolution::Retry,
        Decision::Renumber => Resolution::Renumber,
        Decision::Discard => Resolution::Discard,
    };
    stopped::resolve(&pool, &args.context, &args.key, resolution).await?;
    ui::print("decided; the relay carries it out within a second");
    Ok(())
}

pub(super) async fn rebuild(mesh: &Mesh, args: &Rebuild) -> Result<()> {
    let pool = known_publisher(mesh, &args.service).await?;
    let settings = events::Settings {
        nats_url: format!("nats://{}", mesh.address(NATS)?),
        ..events::Settings::default()
    };
    let bus = events::connect(&settings, pool).await?;
    let facts = bus.rebuild(&args.context).await?;
    ui::print(format!(
        "the stream was deleted; {facts} events are published again"
    ));
    Ok(())
}

async fn known_publisher(mesh: &Mesh, service: &str) -> Result<PgPool> {
    if !SERVICES.iter().any(|known| known.name == service) {
        let names: Vec<_> = SERVICES.iter().map(|known| known.name).collect();
        bail!("no service {service}; expected one of {}", names.join(", "));
    }
    let publisher = publisher(mesh, service).await?;
    publisher.with_context(|| format!("{service} publishes no events"))
}

/// Connects to the database of `service`; `None` if it has no outbox.
async fn publisher(mesh: &Mesh, service: &str) -> Result<Option<PgPool>> {
    let opened = open(&mesh.database(service)?, "events.stopped").await;
    opened.with_context(|| format!("cannot read the database of {service}"))
}

fn entry(service: &'static str, key: StoppedKey) -> StoppedEntry {
    StoppedEntry {
        service,
        aggregate: format!("{}.{}", key.context, key.aggregate),
        key: key.key,
        version: key.version,
        cause: key.cause,
        reason: key.reason,
        waiting: key.waiting,
        since: key.since.to_rfc3339(),
    }
}

/// Lays stopped keys out as a table.
pub(super) fn table(entries: &[StoppedEntry]) -> String {
    let header = [
        "service",
        "aggregate",
        "key",
        "version",
        "cause",
        "waiting",
        "since",
        "reason",
    ];
    lay_out("no stopped keys", header, entries, |entry| {
        [
            entry.service.to_owned(),
            entry.aggregate.clone(),
            entry.key.clone(),
            entry.version.to_string(),
            entry.cause.clone(),
            entry.waiting.to_string(),
            entry.since.clone(),
            entry.reason.clone(),
        ]
    })
}
