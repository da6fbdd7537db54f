//! Acts of operators.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::commands::desk::{Desk, entries, lay_out};

/// An act as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct ActEntry {
    service: String,
    #[serde(flatten)]
    act: Act,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Acts {
    acts: Vec<Act>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Act {
    /// RFC 3339, UTC.
    #[serde(rename(deserialize = "begunAt"))]
    at: String,
    operator: String,
    action: String,
    scope: String,
    key: String,
    detail: String,
    reason: String,
    /// Empty if it is not known.
    outcome: String,
}

/// Returns the acts at the desk of every service, the latest first.
pub(super) async fn list(desk: &Desk) -> Result<Vec<ActEntry>> {
    let all: Vec<(String, Acts)> = desk.of_all("acts?limit=1000").await?;
    let entry = |service, act| ActEntry { service, act };
    Ok(entries(all, |found| found.acts, entry))
}

/// Lays acts out as a table.
pub(super) fn table(entries: &[ActEntry]) -> String {
    let header = [
        "service", "at", "operator", "action", "scope", "key", "detail", "reason", "outcome",
    ];
    lay_out("no acts", header, entries, |ActEntry { service, act }| {
        [
            service.clone(),
            act.at.clone(),
            act.operator.clone(),
            act.action.clone(),
            act.scope.clone(),
            act.key.clone(),
            act.detail.clone(),
            act.reason.clone(),
            act.outcome.clone(),
        ]
    })
}
