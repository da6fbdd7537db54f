//! The sources and their states.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::quarantine::{self, Record};
use crate::client::Client;
use crate::commands::desk::{Listing, integer, lay_out, quoted};
use crate::ui;

/// Records in quarantine that `show` lists.
const SHOWN: usize = 20;

/// One source.
#[derive(Debug, clap::Args)]
pub(super) struct Name {
    /// Name of the source, as `sources list` shows it
    source: String,
}

/// The arguments of `sources show`.
#[derive(Debug, clap::Args)]
pub(super) struct ShowSource {
    #[command(flatten)]
    name: Name,
    /// Show one record in quarantine with its bytes: the unit
    #[arg(requires = "number")]
    unit: Option<String>,
    /// Its number in the unit
    number: Option<u64>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sources {
    sources: Vec<Source>,
}

/// A source as scripts read it.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all(deserialize = "camelCase"))]
struct Source {
    name: String,
    kind: String,
    format: String,
    method: String,
    mapping: String,
    state: String,
    reason: String,
    #[serde(deserialize_with = "integer")]
    records: i64,
    #[serde(deserialize_with = "integer")]
    accepted: i64,
    #[serde(deserialize_with = "integer")]
    quarantined: i64,
    /// Records in quarantine now.
    #[serde(deserialize_with = "integer")]
    held: i64,
    last_record_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Unit {
    unit: String,
    name: String,
    state: String,
    #[serde(deserialize_with = "integer")]
    position: i64,
    #[serde(deserialize_with = "integer")]
    accepted: i64,
    #[serde(deserialize_with = "integer")]
    quarantined: i64,
    refusal: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shown {
    source: Source,
    units: Vec<Unit>,
}

pub(super) async fn list(client: &Client, args: &Listing) -> Result<()> {
    let Sources { sources } = client.get("/v1/sources").await?;
    args.print(&sources, table)
}

pub(super) async fn show(client: &Client, args: &ShowSource) -> Result<()> {
    let path = path(&args.name.source);
    if let (Some(unit), Some(number)) = (&args.unit, args.number) {
        let record: Value = client
            .get(&format!("{path}/quarantine/{}/{number}", quoted(unit)))
            .await?;
        return quarantine::show(&record, args.json);
    }
    let found: Value = client.get(&path).await?;
    let list = format!("{path}/quarantine?pageSize={SHOWN}");
    let held: Value = client.get(&list).await?;
    if args.json {
        let all = json!({"source": found["source"], "units": found["units"], "quarantine": held["records"]});
        ui::print(serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let Shown { source, units } = serde_json::from_value(found)?;
    let records: Vec<Record> = match held.get("records") {
        Some(records) => serde_json::from_value(records.clone())?,
        None => Vec::new(),
    };
    let mut text = table(std::slice::from_ref(&source));
    if !source.reason.is_empty() {
        text += &format!("\nstopped: {}", source.reason);
    }
    text += &format!("\n{}", units_table(&units));
    text += &format!("\n{}", quarantine::table(&records));
    if source.held > records.len() as i64 {
        text += &format!("\n{} of {} records shown", records.len(), source.held);
    }
    ui::print(text);
    Ok(())
}

pub(super) async fn set(client: &Client, args: &Name, verb: &str) -> Result<()> {
    let path = format!("{}:{verb}", path(&args.source));
    let source: Source = client.post(&path, &json!({})).await?;
    ui::print(format!("{} is {}", source.name, state(&source.state)));
    Ok(())
}

/// Returns the path of a source.
pub(super) fn path(source: &str) -> String {
    format!("/v1/sources/{}", quoted(source))
}

fn table(sources: &[Source]) -> String {
    let header = [
        "source",
        "kind",
        "format",
        "state",
        "records",
        "accepted",
        "in quarantine",
        "last record",
    ];
    lay_out("no source is configured", header, sources, |source| {
        [
            source.name.clone(),
            source.kind.clone(),
            source.format.clone(),
            state(&source.state),
            source.records.to_string(),
            source.accepted.to_string(),
            source.held.to_string(),
            source.last_record_at.clone(),
        ]
    })
}

fn units_table(units: &[Unit]) -> String {
    let header = [
        "name",
        "state",
        "records",
        "accepted",
        "quarantined",
        "refusal",
        "unit",
    ];
    lay_out("nothing was read yet", header, units, |unit| {
        [
            unit.name.clone(),
            state(&unit.state),
            unit.position.to_string(),
            unit.accepted.to_string(),
            unit.quarantined.to_string(),
            unit.refusal.clone(),
            unit.unit.clone(),
        ]
    })
}

/// Returns the name of an enum's value for people.
fn state(name: &str) -> String {
    let name = name.strip_prefix("SOURCE_STATE_").unwrap_or(name);
    name.trim_start_matches("UNIT_STATE_").to_lowercase()
}
