//! Conversions between the contract and the tables.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use crate::pb::mesh::connect::v1 as pb;
use crate::source::Source;
use crate::store::{Cursor, HeldRow, SourceRow, State, UnitRow, UnitState};

/// Items of a page without a size.
const DEFAULT_PAGE: i64 = 100;

pub(super) fn source(source: &Source, row: SourceRow) -> pb::Source {
    let settings = source.settings();
    pb::Source {
        name: row.name,
        kind: <&str>::from(settings.from.kind).to_owned(),
        format: <&str>::from(settings.format.kind).to_owned(),
        method: settings.into.method.clone(),
        mapping: source.mapping_version().to_owned(),
        state: match row.state {
            State::Running => pb::SourceState::Running,
            State::Paused => pb::SourceState::Paused,
            State::Stopped => pb::SourceState::Stopped,
        }
        .into(),
        reason: row.reason,
        changed_at: Some(timestamp(row.changed_at)),
        records: row.records,
        accepted: row.accepted,
        quarantined: row.quarantined,
        held: row.held,
        last_record_at: row.last_record_at.map(timestamp),
    }
}

pub(super) fn unit(row: UnitRow) -> pb::Unit {
    pb::Unit {
        unit: row.unit,
        name: row.name,
        size_bytes: row.size_bytes,
        state: match row.state {
            UnitState::Reading => pb::UnitState::Reading,
            UnitState::Done => pb::UnitState::Done,
            UnitState::Failed => pb::UnitState::Failed,
        }
        .into(),
        position: row.position,
        accepted: row.accepted,
        quarantined: row.quarantined,
        refusal: row.refusal,
        begun_at: Some(timestamp(row.begun_at)),
        changed_at: Some(timestamp(row.changed_at)),
    }
}

pub(super) fn record(row: HeldRow) -> pb::QuarantinedRecord {
    pb::QuarantinedRecord {
        unit: row.unit,
        number: row.number,
        place: row.place,
        column: row.column,
        rule: row.rule,
        value: row.value,
        mapping: row.mapping,
        held_at: Some(timestamp(row.held_at)),
        replays: row.replays,
        raw: row.raw.unwrap_or_default(),
        record: row.record.unwrap_or_default(),
    }
}

/// Returns the size of a page; the contract bounds it.
pub(super) fn page(requested: i32) -> i64 {
    match requested {
        0 => DEFAULT_PAGE,
        size => i64::from(size),
    }
}

/// Returns the token of the page after a record.
pub(super) fn token(cursor: &Cursor) -> String {
    format!("{}/{}", cursor.number, cursor.unit)
}

/// Reads a token; an empty one is that of the first page.
pub(super) fn cursor(token: &str) -> Option<Cursor> {
    if token.is_empty() {
        return Some(Cursor::default());
    }
    let (number, unit) = token.split_once('/')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let unit = unit.to_owned();
    let is_valid = !unit.is_empty() && !unit.contains('\0');
    is_valid.then_some(Cursor { unit, number })
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        // Below two billion, leap seconds included.
        nanos: time.timestamp_subsec_nanos().cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_record() {
        let after = Cursor {
            unit: "a/b".to_owned(),
            number: 17,
        };
        assert_eq!(cursor(&token(&after)), Some(after));
        assert_eq!(cursor(""), Some(Cursor::default()));
        for wrong in ["x", "1", "0/a", "-1/a", "1/", "a/1", "1/\0"] {
            assert_eq!(cursor(wrong), None, "{wrong:?}");
        }
    }
}
