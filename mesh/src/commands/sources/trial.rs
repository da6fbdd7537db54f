//! Shows the messages that a source would make of a file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::list::path;
use super::send::body;
use crate::client::Client;
use crate::commands::desk::integer;
use crate::ui;

/// The arguments of `sources try`.
#[derive(Debug, clap::Args)]
pub(super) struct Try {
    /// Name of the source
    source: String,
    /// File to try, at most 64 MiB
    file: PathBuf,
    /// Most records to show, up to 1000
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tried {
    records: Vec<TriedRecord>,
    #[serde(deserialize_with = "integer")]
    read: i64,
    #[serde(deserialize_with = "integer")]
    quarantined: i64,
    refusal: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TriedRecord {
    #[serde(deserialize_with = "integer")]
    number: i64,
    place: String,
    record: String,
    message: String,
    column: String,
    rule: String,
    value: String,
}

/// Shows the records; the exit code is 1 if one is refused, or the file.
pub(super) async fn attempt(client: &Client, args: &Try) -> Result<ExitCode> {
    let target = format!("{}:try?limit={}", path(&args.source), args.limit);
    let body = body(&args.file, 0).await?;
    let found: Value = client
        .upload(&target, "application/octet-stream", body)
        .await?;
    let tried: Tried = serde_json::from_value(found.clone())?;
    let is_good = tried.quarantined == 0 && tried.refusal.is_empty();
    ui::print(match args.json {
        true => serde_json::to_string_pretty(&found)?,
        false => text(&tried),
    });
    Ok(ExitCode::from(u8::from(!is_good)))
}

fn text(tried: &Tried) -> String {
    let mut lines = Vec::new();
    for record in &tried.records {
        lines.push(format!("{} ({})", record.number, record.place));
        if !record.record.is_empty() {
            lines.push(format!("  record   {}", record.record));
        }
        lines.push(match record.rule.is_empty() {
            true => format!("  message  {}", record.message),
            false => {
                let (column, rule, value) = (&record.column, &record.rule, &record.value);
                format!("  refused  {column} {rule}: {value}")
            }
        });
    }
    let (read, bad) = (tried.read, tried.quarantined);
    lines.push(format!("{read} records, {bad} of them for the quarantine"));
    if !tried.refusal.is_empty() {
        lines.push(format!("the file is refused: {}", tried.refusal));
    }
    lines.join("\n")
}
