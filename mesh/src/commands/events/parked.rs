//! Parked keys: listed, shown, replayed, and decided about.

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::desk::{Desk, entries, integer, lay_out, quoted};
use crate::ui;

/// The arguments of `events show`.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    key: Key,
    /// Print the events as JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `events replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    #[command(flatten)]
    key: Key,
    /// Try, and roll everything back
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `events discard` and `events skip`.
#[derive(Debug, clap::Args)]
pub(super) struct Leave {
    #[command(flatten)]
    key: Key,
    /// Version of the first parked event, as `events parked` shows it
    #[arg(long)]
    version: i64,
    /// Why that is right, for the audit
    #[arg(long)]
    reason: String,
}

/// A parked key.
#[derive(Debug, clap::Args)]
struct Key {
    /// Service that consumes the events
    service: String,
    /// Consumer, as `events parked` shows it
    consumer: String,
    /// The key
    key: String,
}

/// A parked key as scripts read it.
#[derive(Debug, Serialize)]
pub struct Entry {
    service: String,
    consumer: String,
    aggregate: String,
    key: String,
    /// Version of the first parked event.
    version: i64,
    reason: String,
    attempts: i32,
    /// Number of parked events of the key, the failed one included.
    waiting: i64,
    /// RFC 3339, UTC.
    since: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ParkedKeys {
    keys: Vec<ParkedKey>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParkedKey {
    consumer: String,
    context: String,
    aggregate: String,
    key: String,
    #[serde(deserialize_with = "integer")]
    version: i64,
    reason: String,
    attempts: i32,
    #[serde(deserialize_with = "integer")]
    waiting: i64,
    parked_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Facts {
    facts: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParkedFact {
    #[serde(deserialize_with = "integer")]
    version: i64,
    r#type: String,
    payload: Option<Value>,
    raw_payload: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Replayed {
    replay: ReplayResult,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReplayResult {
    #[serde(deserialize_with = "integer")]
    applied: i64,
    #[serde(deserialize_with = "integer")]
    failed_version: i64,
    reason: String,
}

/// Returns the parked keys of every service.
///
/// # Errors
/// When a desk does not answer.
pub async fn list(desk: &Desk) -> Result<Vec<Entry>> {
    let all: Vec<(String, ParkedKeys)> = desk.of_all("parked?limit=1000").await?;
    Ok(entries(all, |found| found.keys, entry))
}

pub(super) async fn show(desk: &Desk, args: &Show) -> Result<()> {
    let Key {
        service,
        consumer,
        key,
    } = &args.key;
    let path = format!(
        "parked/facts?consumer={}&key={}&limit=1000",
        quoted(consumer),
        quoted(key)
    );
    let found: Facts = desk.get(service, &path).await?;
    if args.json {
        ui::print(serde_json::to_string_pretty(&found.facts)?);
        return Ok(());
    }
    for fact in found.facts {
        let fact: ParkedFact = serde_json::from_value(fact)?;
        let why = match fact.reason.is_empty() {
            true => "waits".to_owned(),
            false => format!("failed: {}", fact.reason),
        };
        let payload = match fact.payload {
            Some(payload) => serde_json::to_string_pretty(&payload)?,
            None => format!("unreadable, in base64: {}", fact.raw_payload),
        };
        let (version, kind) = (fact.version, fact.r#type);
        ui::print(format!("version {version}, {kind}, {why}\n{payload}"));
    }
    Ok(())
}

pub(super) async fn replay(desk: &Desk, args: &Replay) -> Result<ExitCode> {
    let Key {
        service,
        consumer,
        key,
    } = &args.key;
    let message = json!({"consumer": consumer, "key": key, "dryRun": args.dry_run});
    let done: Replayed = desk.post(service, "parked:replay", &message).await?;
    Ok(tell(&done.replay, args.dry_run))
}

/// Discards or skips.
pub(super) async fn leave(desk: &Desk, how: &str, args: &Leave) -> Result<ExitCode> {
    let Key {
        service,
        consumer,
        key,
    } = &args.key;
    let message = json!({
        "consumer": consumer,
        "key": key,
        "version": args.version,
        "reason": args.reason,
    });
    let done: Replayed = desk
        .post(service, &format!("parked:{how}"), &message)
        .await?;
    Ok(tell(&done.replay, false))
}

fn tell(replay: &ReplayResult, is_dry: bool) -> ExitCode {
    let ReplayResult {
        applied,
        failed_version,
        reason,
    } = replay;
    let applied = match is_dry {
        true => format!("{applied} event(s) would be applied"),
        false => format!("{applied} event(s) applied"),
    };
    if *failed_version == 0 {
        ui::print(match is_dry {
            true => applied,
            false => format!("{applied}; the key is free"),
        });
        return ExitCode::SUCCESS;
    }
    ui::print(format!(
        "{applied}; version {failed_version} failed: {reason}"
    ));
    ExitCode::FAILURE
}

fn entry(service: String, key: ParkedKey) -> Entry {
    Entry {
        service,
        consumer: key.consumer,
        aggregate: format!("{}.{}", key.context, key.aggregate),
        key: key.key,
        version: key.version,
        reason: key.reason,
        attempts: key.attempts,
        waiting: key.waiting,
        since: key.parked_at,
    }
}

/// Lays parked keys out as a table.
pub fn table(entries: &[Entry]) -> String {
    let header = [
        "service",
        "consumer",
        "aggregate",
        "key",
        "version",
        "attempts",
        "waiting",
        "since",
        "reason",
    ];
    lay_out("no parked keys", header, entries, |entry| {
        [
            entry.service.clone(),
            entry.consumer.clone(),
            entry.aggregate.clone(),
            entry.key.clone(),
            entry.version.to_string(),
            entry.attempts.to_string(),
            entry.waiting.to_string(),
            entry.since.clone(),
            entry.reason.clone(),
        ]
    })
}
