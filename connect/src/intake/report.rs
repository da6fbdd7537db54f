//! The report that stands beside a file that was read.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::store::{UnitRow, UnitState};

/// Outcome of a unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) source: String,
    /// Identity of the bytes.
    pub(crate) unit: String,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    /// Whether the source had read these bytes before: nothing was sent.
    pub(crate) repeated: bool,
    pub(crate) records: i64,
    pub(crate) accepted: i64,
    pub(crate) quarantined: i64,
    /// Records that went into quarantine, by rule.
    pub(crate) rules: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) refusal: String,
    pub(crate) mapping: String,
    pub(crate) begun_at: String,
    pub(crate) ended_at: String,
}

// === impl Report ===

impl Report {
    pub(crate) fn new(
        source: &str,
        name: &str,
        row: UnitRow,
        rules: BTreeMap<String, i64>,
        repeated: bool,
    ) -> Self {
        Self {
            source: source.to_owned(),
            unit: row.unit,
            name: name.to_owned(),
            state: row.state.into(),
            repeated,
            records: row.position,
            accepted: row.accepted,
            quarantined: row.quarantined,
            rules,
            refusal: row.refusal,
            mapping: row.mapping,
            begun_at: shown(row.begun_at),
            ended_at: shown(row.changed_at),
        }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.state == <&str>::from(UnitState::Failed)
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
