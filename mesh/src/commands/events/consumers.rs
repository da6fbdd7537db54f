//! The consumers of all services.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::commands::desk::{Desk, entries, integer, lay_out};

/// A consumer as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct ConsumerEntry {
    service: String,
    consumer: String,
    aggregate: String,
    /// Events that are not delivered yet.
    pending: i64,
    /// Events that are delivered and not settled yet.
    in_progress: i64,
    parked_keys: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Consumers {
    consumers: Vec<Consumer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Consumer {
    consumer: String,
    context: String,
    aggregate: String,
    #[serde(deserialize_with = "integer")]
    pending: i64,
    #[serde(deserialize_with = "integer")]
    in_progress: i64,
    #[serde(deserialize_with = "integer")]
    parked_keys: i64,
}

/// Returns the consumers of every service.
pub(super) async fn list(desk: &Desk) -> Result<Vec<ConsumerEntry>> {
    let all: Vec<(String, Consumers)> = desk.of_all("consumers").await?;
    let entry = |service, consumer: Consumer| ConsumerEntry {
        service,
        consumer: consumer.consumer,
        aggregate: format!("{}.{}", consumer.context, consumer.aggregate),
        pending: consumer.pending,
        in_progress: consumer.in_progress,
        parked_keys: consumer.parked_keys,
    };
    Ok(entries(all, |found| found.consumers, entry))
}

/// Lays consumers out as a table.
pub(super) fn table(entries: &[ConsumerEntry]) -> String {
    let header = [
        "service",
        "consumer",
        "aggregate",
        "pending",
        "in progress",
        "parked keys",
    ];
    lay_out("no consumers", header, entries, |entry| {
        [
            entry.service.clone(),
            entry.consumer.clone(),
            entry.aggregate.clone(),
            entry.pending.to_string(),
            entry.in_progress.to_string(),
            entry.parked_keys.to_string(),
        ]
    })
}
