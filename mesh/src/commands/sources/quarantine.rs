//! Records in quarantine.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::list::path;
use crate::client::Client;
use crate::commands::desk::{integer, lay_out};
use crate::ui;

/// The arguments of `sources retry`.
#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    #[command(flatten)]
    records: Records,
    /// The corrected record, as JSON; @FILE reads a file. `sources show` prints the record as it is
    #[arg(long, value_name = "JSON", requires = "unit")]
    record: Option<String>,
}

/// The arguments of `sources discard`.
#[derive(Debug, clap::Args)]
pub(super) struct Discard {
    #[command(flatten)]
    records: Records,
    /// Why, for those who look later
    #[arg(long)]
    reason: String,
}

/// One record of a source, or all of them.
#[derive(Debug, clap::Args)]
struct Records {
    /// Name of the source
    source: String,
    /// The unit of one record, as `sources show` prints it
    #[arg(requires = "number")]
    unit: Option<String>,
    /// The number of one record
    number: Option<u64>,
    /// All records of the source
    #[arg(long, conflicts_with = "unit", required_unless_present = "unit")]
    all: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Record {
    unit: String,
    #[serde(deserialize_with = "integer")]
    number: i64,
    place: String,
    column: String,
    rule: String,
    value: String,
    held_at: String,
    raw: String,
    record: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ReplayPage {
    #[serde(deserialize_with = "integer")]
    replayed: i64,
    refused: Vec<Record>,
    #[serde(deserialize_with = "integer")]
    refused_records: i64,
    next_page_token: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Discarded {
    #[serde(deserialize_with = "integer")]
    discarded: i64,
}

/// Replays records; the exit code is 1 if one stays in quarantine.
pub(super) async fn retry(client: &Client, args: &Retry) -> Result<ExitCode> {
    let path = format!("{}/quarantine:replay", path(&args.records.source));
    let mut request = args.records.request();
    if let Some(record) = &args.record {
        request["record"] = Value::from(text(record)?);
    }
    let (mut replayed, mut refused) = (0, 0);
    loop {
        let page: ReplayPage = client.post(&path, &request).await?;
        replayed += page.replayed;
        refused += page.refused_records;
        if !page.refused.is_empty() {
            ui::print(table(&page.refused));
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request["pageToken"] = Value::from(page.next_page_token);
    }
    ui::print(format!(
        "{replayed} accepted, {refused} still in quarantine"
    ));
    Ok(ExitCode::from(u8::from(refused > 0)))
}

pub(super) async fn discard(client: &Client, args: &Discard) -> Result<()> {
    ensure!(!args.reason.is_empty(), "--reason: expected a reason");
    let path = format!("{}/quarantine:discard", path(&args.records.source));
    let mut request = args.records.request();
    request["reason"] = Value::from(args.reason.as_str());
    let Discarded { discarded } = client.post(&path, &request).await?;
    ui::print(format!("{discarded} discarded"));
    Ok(())
}

/// Prints one record with its bytes.
pub(super) fn show(record: &Value, is_json: bool) -> Result<()> {
    if is_json {
        ui::print(serde_json::to_string_pretty(record)?);
        return Ok(());
    }
    let found: Record = serde_json::from_value(record.clone())?;
    ui::print(table(std::slice::from_ref(&found)));
    let raw = STANDARD.decode(&found.raw).unwrap_or_default();
    ui::print(format!(
        "\nraw:\n{}",
        String::from_utf8_lossy(&raw).trim_end()
    ));
    if !found.record.is_empty() {
        ui::print(format!("\nrecord:\n{}", found.record));
    }
    Ok(())
}

/// Lays out records.
pub(super) fn table(records: &[Record]) -> String {
    let header = [
        "number", "place", "column", "rule", "value", "since", "unit",
    ];
    lay_out("nothing is in quarantine", header, records, |record| {
        [
            record.number.to_string(),
            record.place.clone(),
            record.column.clone(),
            record.rule.clone(),
            record.value.clone(),
            record.held_at.clone(),
            record.unit.clone(),
        ]
    })
}

// === impl Records ===

impl Records {
    fn request(&self) -> Value {
        match (&self.unit, self.number) {
            (Some(unit), Some(number)) => json!({"unit": unit, "number": number.to_string()}),
            _ => json!({}),
        }
    }
}

fn text(given: &str) -> Result<String> {
    match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}")),
        None => Ok(given.to_owned()),
    }
}
