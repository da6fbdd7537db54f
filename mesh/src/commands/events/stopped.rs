//! Stopped keys of the services that publish, and the decisions about them.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::desk::{Desk, entries, integer, lay_out};
use crate::ui;

/// The arguments of `events resume`.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
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
    /// Why that is right, for the audit; required by `discard`
    #[arg(long, default_value = "", required_if_eq("by", "discard"))]
    reason: String,
}

/// The decisions about a stopped key.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Decision {
    Retry,
    Renumber,
    Discard,
}

/// A stopped key as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct StoppedEntry {
    service: String,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoppedKeys {
    keys: Vec<StoppedKey>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StoppedKey {
    context: String,
    aggregate: String,
    key: String,
    #[serde(deserialize_with = "integer")]
    version: i64,
    cause: String,
    reason: String,
    #[serde(deserialize_with = "integer")]
    waiting: i64,
    stopped_at: String,
}

/// Returns the stopped keys of every service.
pub(super) async fn list(desk: &Desk) -> Result<Vec<StoppedEntry>> {
    let all: Vec<(String, StoppedKeys)> = desk.of_all("stopped?limit=1000").await?;
    Ok(entries(all, |found| found.keys, entry))
}

pub(super) async fn resume(desk: &Desk, args: &Resume) -> Result<()> {
    let resolution = match args.by {
        Decision::Retry => "RESOLUTION_RETRY",
        Decision::Renumber => "RESOLUTION_RENUMBER",
        Decision::Discard => "RESOLUTION_DISCARD",
    };
    let message = json!({
        "context": args.context,
        "key": args.key,
        "resolution": resolution,
        "reason": args.reason,
    });
    let _: Value = desk.post(&args.service, "stopped:resume", &message).await?;
    ui::print("decided; the relay carries it out within a second");
    Ok(())
}

fn entry(service: String, key: StoppedKey) -> StoppedEntry {
    StoppedEntry {
        service,
        aggregate: format!("{}.{}", key.context, key.aggregate),
        key: key.key,
        version: key.version,
        cause: key.cause,
        reason: key.reason,
        waiting: key.waiting,
        since: key.stopped_at,
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
            entry.service.clone(),
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
