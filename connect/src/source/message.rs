//! A record that is mapped, and records on their way into quarantine.

use formats::{Flaw, Record};
use wire::Reader;

use super::json::kept;
use crate::store::Held;

/// A mapped record.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) record: Record,
    /// The encoded message.
    pub(crate) wire: Vec<u8>,
}

// === impl Message ===

impl Message {
    /// Returns the record as it goes into quarantine.
    pub(crate) fn held(&self, column: String, rule: String, value: String) -> Held {
        held(&self.record, column, rule, value)
    }

    /// Adds one to the count of each field that is there.
    pub(super) fn count(&self, fields: &[(u32, String)], counts: &mut [u64]) {
        let mut seen = vec![false; fields.len()];
        let mut reader = Reader::new(&self.wire);
        while let Ok(Some((number, wire_type))) = reader.tag() {
            if reader.skip(number, wire_type).is_err() {
                return;
            }
            let known = fields.iter().position(|(own, _)| *own == number);
            if let Some(at) = known
                && !std::mem::replace(&mut seen[at], true)
            {
                counts[at] += 1;
            }
        }
    }
}

impl From<Flaw> for Held {
    fn from(flaw: Flaw) -> Self {
        Self {
            number: flaw.number,
            place: flaw.place.to_string(),
            column: flaw.column.unwrap_or_default(),
            rule: flaw.rule.to_owned(),
            value: flaw.value,
            raw: flaw.raw,
            record: None,
        }
    }
}

pub(super) fn held(record: &Record, column: String, rule: String, value: String) -> Held {
    Held {
        number: record.number,
        place: record.place.to_string(),
        column,
        rule,
        value,
        raw: record.raw.clone(),
        record: kept(&record.value),
    }
}
