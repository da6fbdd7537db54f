//! Requests with many records: the fields of the request, and the records in one of them.

use bytes::Bytes;
use descriptors::{FieldPlan, Types};
use mapping::{Mapping, Unmapped};
use wire::Tag;

use super::{Message, Origin};

/// The variable that says that no record of the unit follows.
const COMPLETE: &str = "complete";

/// The request of a source with batches.
#[derive(Debug)]
pub(super) struct Request {
    mapping: Mapping,
    /// Tag of the field of records.
    tag: Tag,
    tells_end: bool,
}

// === impl Request ===

impl Request {
    pub(super) fn new(mapping: Mapping, field: &FieldPlan, expressions: &[String]) -> Self {
        let names = |text: &String| {
            let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            words.any(|word| word == COMPLETE)
        };
        Self {
            mapping,
            tag: field.tag,
            tells_end: expressions.iter().any(names),
        }
    }

    pub(super) fn tells_end(&self) -> bool {
        self.tells_end
    }

    pub(super) fn encode(
        &self,
        origin: &Origin<'_>,
        messages: &[&Message],
        ends: bool,
    ) -> Result<Bytes, Unmapped> {
        let number = |message: Option<&&Message>| message.map_or(0, |own| own.record.number);
        let batch = mapping::Batch {
            source: origin.source,
            unit: origin.unit,
            first: number(messages.first()),
            last: number(messages.last()),
            complete: ends,
        };
        let mut out = self.mapping.request(&batch)?;
        for message in messages {
            wire::put_delimited(&mut out, self.tag, &message.wire);
        }
        Ok(out.into())
    }
}

/// Returns the field of a message by its name in the proto file or in JSON.
pub(super) fn field<'t>(types: &'t Types, message: &str, name: &str) -> Option<&'t FieldPlan> {
    let plan = types.message(*types.by_name.get(message)?);
    plan.fields.get(plan.by_name(name)?)
}
