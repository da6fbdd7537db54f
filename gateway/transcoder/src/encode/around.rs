//! A message on the wire beside fields that the path has set: compared with them, and copied
//! without them.

use descriptors::{FieldPlan, Label, MessageId};
use wire::{Read, Reader, WireType};

use super::Pin;
use crate::error::{Failure, RequestError, Rule};
use crate::tables::Tables;

/// Rejects a message without a field that the path has set, where absence means the default value.
pub(crate) fn check_defaults(
    types: &Tables,
    id: MessageId,
    wire: &[u8],
    pins: &[Pin<'_>],
) -> Result<(), Failure> {
    for pin in pins.iter().filter(|p| !p.is_silent && !p.wire.is_empty()) {
        let [index] = pin.fields else { continue };
        let field = &types.message(id).fields[*index];
        let is_there = |item: Read<Item<'_>>| item.is_ok_and(|item| item.index == Some(*index));
        if field.label == Label::Implicit && !fields(types, id, wire).any(is_there) {
            let failure = RequestError::new(Rule::PathConflict, "the path has another value");
            return Err(failure.in_field(&field.shown_name));
        }
    }
    Ok(())
}

/// Returns the pins below `field`.
pub(crate) fn strip<'p, 'a: 'p>(
    pins: impl Iterator<Item = &'p Pin<'a>>,
    field: usize,
) -> impl Iterator<Item = Pin<'a>> {
    pins.filter_map(move |pin| match pin.fields {
        [first, rest @ ..] if *first == field => Some(Pin {
            fields: rest,
            ..*pin
        }),
        _ => None,
    })
}

/// The fields of a message one by one.
pub(crate) struct FieldReader<'t, 'w> {
    types: &'t Tables,
    id: MessageId,
    reader: Reader<'w>,
}

/// One occurrence of a field.
pub(crate) struct Item<'w> {
    /// In the plan, if the field is known.
    pub(crate) index: Option<usize>,
    /// Tag and value.
    raw: &'w [u8],
    wire_type: WireType,
    /// The content of a message or group, the bytes of other delimited values.
    pub(crate) content: &'w [u8],
}

impl<'w> Iterator for FieldReader<'_, 'w> {
    type Item = Read<Item<'w>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.reader.rest;
        let (number, wire_type) = match self.reader.tag() {
            Ok(tag) => tag?,
            Err(error) => return Some(Err(error)),
        };
        let content = self.reader.value(number, wire_type);
        Some(content.map(|content| Item {
            index: self.types.message(self.id).by_number(number),
            raw: &start[..start.len() - self.reader.rest.len()],
            wire_type,
            content,
        }))
    }
}

pub(crate) fn fields<'t, 'w>(
    types: &'t Tables,
    id: MessageId,
    wire: &'w [u8],
) -> FieldReader<'t, 'w> {
    FieldReader {
        types,
        id,
        reader: Reader::new(wire),
    }
}

/// Appends a message that has been checked, without the fields that are pinned; a different value
/// of one is a conflict.
pub(crate) fn copy_around(
    types: &Tables,
    id: MessageId,
    wire: &[u8],
    pins: &[Pin<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if pins.is_empty() {
        out.extend_from_slice(wire);
        return Ok(());
    }
    let plan = types.message(id);
    for item in fields(types, id, wire) {
        let item = item.map_err(|error| RequestError::new(Rule::Protobuf, error.description))?;
        let Some((index, field)) = item.index.map(|index| (index, &plan.fields[index])) else {
            out.extend_from_slice(item.raw);
            continue;
        };
        copy_field(types, plan.fields.as_slice(), (index, &item), pins, out)
            .map_err(|failure| failure.in_field(&field.shown_name))?;
    }
    Ok(())
}

fn copy_field(
    types: &Tables,
    siblings: &[FieldPlan],
    (index, item): (usize, &Item<'_>),
    pins: &[Pin<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let field = &siblings[index];
    let inner: Vec<Pin<'_>> = strip(pins.iter(), index).collect();
    let rival = pins.iter().find(|pin| {
        let other = pin.fields.first().and_then(|first| siblings.get(*first));
        field.oneof.is_some() && other.is_some_and(|other| other.oneof == field.oneof)
    });
    match (inner.as_slice(), rival) {
        ([], Some(rival)) if rival.is_silent => Ok(()),
        ([], Some(_)) => Err(RequestError::new(
            Rule::Duplicate,
            "another field of the same oneof is set",
        )),
        ([], None) => {
            out.extend_from_slice(item.raw);
            Ok(())
        }
        ([pin], _) if pin.fields.is_empty() => {
            if pin.is_silent || canonical(field, item) == pin.wire {
                return Ok(());
            }
            Err(RequestError::new(
                Rule::PathConflict,
                "the path has another value",
            ))
        }
        (inner, _) => {
            let Some(id) = field.message() else {
                return Ok(());
            };
            let at = field.open(out);
            copy_around(types, id, item.content, inner, out)?;
            field.close(at, out);
            Ok(())
        }
    }
}

/// Returns a scalar as this crate writes it: minimal varints, and nothing for the default of a
/// field without presence.
fn canonical(field: &FieldPlan, item: &Item<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    field.tag.put(&mut wire);
    let is_default = match item.wire_type {
        WireType::Varint => {
            let value = Reader::new(item.content).varint().unwrap_or_default();
            wire::put_varint(&mut wire, value);
            value == 0
        }
        WireType::Delimited => {
            wire::put_varint(&mut wire, item.content.len() as u64);
            wire.extend_from_slice(item.content);
            item.content.is_empty()
        }
        WireType::StartGroup => {
            wire.extend_from_slice(item.content);
            field.close(0, &mut wire);
            false
        }
        _ => {
            wire.extend_from_slice(item.content);
            item.content.iter().all(|byte| *byte == 0)
        }
    };
    if is_default && field.label == Label::Implicit {
        wire.clear();
    }
    wire
}
