//! The content of a message: the occurrences of its known fields, sorted, and its unknown fields in
//! the order of the wire.

use std::collections::HashMap;

use wire::{Read, Reader, WireError, WireType};

use crate::kind::{EnumId, Kind, Label};
use crate::plan::{FieldPlan, MessagePlan, Types};
use crate::seen::Seen;

/// Field number of the group around a member of a message set.
pub(crate) const ITEM: u32 = 1;
/// Field number of an item's type.
pub(crate) const ITEM_TYPE: u32 = 2;
/// Field number of an item's message.
pub(crate) const ITEM_MESSAGE: u32 = 3;

/// One occurrence of a known field.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence<'w> {
    /// Index of the field in its plan.
    pub index: usize,
    wire_type: WireType,
    /// In front of the value.
    pub value: Reader<'w>,
}

/// One occurrence of something that the schema does not have.
#[derive(Debug)]
pub enum Unknown<'w> {
    /// Tag and value.
    Raw(&'w [u8]),
    /// Field number and value of a closed enum that came in a packed run.
    Value(u32, u64),
}

/// The fields of one message.
#[derive(Debug, Default)]
pub struct Found<'w> {
    /// Sorted by field, otherwise in the order of the wire.
    pub known: Vec<Occurrence<'w>>,
    /// Members of oneofs that later ones have replaced.
    pub replaced: Vec<Occurrence<'w>>,
    /// Fields that the plan does not have, in the order of the wire.
    pub unknown: Vec<Unknown<'w>>,
}

/// Collects the wanted fields from all `parts` of one message. The content of submessages is not
/// read.
pub fn collect<'w>(
    types: &Types,
    plan: &MessagePlan,
    parts: &[&'w [u8]],
    wants: impl Fn(usize) -> bool,
) -> Read<Found<'w>> {
    let mut found = Found::default();
    for part in parts {
        let mut reader = Reader::new(part);
        loop {
            let before = reader.rest;
            let Some((number, wire_type)) = reader.tag()? else {
                break;
            };
            let value = reader;
            reader.skip(number, wire_type)?;
            let raw = before
                .get(..before.len() - reader.rest.len())
                .unwrap_or(before);
            let item = match (number, wire_type) {
                (ITEM, WireType::StartGroup) if plan.is_message_set => item(plan, value)?,
                _ => find(plan, number, wire_type).map(|index| Occurrence {
                    index,
                    wire_type,
                    value,
                }),
            };
            if item.is_none_or(|item| wants(item.index)) {
                found.add(types, plan, item, raw)?;
            }
        }
    }
    found.settle_oneofs(plan);
    found.known.sort_by_key(|occurrence| occurrence.index);
    Ok(found)
}

/// Returns the extension that an item of a message set holds, if the schema knows it.
fn item<'w>(plan: &MessagePlan, mut group: Reader<'w>) -> Read<Option<Occurrence<'w>>> {
    let (mut index, mut message) = (None, None);
    let mut reader = Reader::new(group.group(ITEM)?);
    while let Some((number, wire_type)) = reader.tag()? {
        let mut value = reader;
        reader.skip(number, wire_type)?;
        match (number, wire_type) {
            (ITEM_TYPE, WireType::Varint) => {
                let number = u32::try_from(value.varint()?).unwrap_or(0);
                index = find(plan, number, WireType::Delimited);
            }
            (ITEM_MESSAGE, WireType::Delimited) => message = Some(value),
            _ => {}
        }
    }
    Ok(index.zip(message).map(|(index, value)| Occurrence {
        index,
        wire_type: WireType::Delimited,
        value,
    }))
}

/// Returns the field of a tag, unless the wire type is not its own: then it is unknown.
fn find(plan: &MessagePlan, number: u32, wire_type: WireType) -> Option<usize> {
    let index = plan.by_number(number)?;
    let field = plan.fields.get(index)?;
    (wire_type == field.kind.wire_type() || is_run(field, wire_type)).then_some(index)
}

fn is_run(field: &FieldPlan, wire_type: WireType) -> bool {
    wire_type == WireType::Delimited
        && field.kind.is_packable()
        && matches!(field.label, Label::Repeated | Label::Packed)
}

// === impl Found ===

impl<'w> Found<'w> {
    /// The last member of a oneof wins; its value from before another member is lost.
    fn settle_oneofs(&mut self, plan: &MessagePlan) {
        let oneof = |occurrence: &Occurrence<'_>| plan.fields.get(occurrence.index)?.oneof;
        if !self.known.iter().any(|known| oneof(known).is_some()) {
            return;
        }
        let mut winners: HashMap<u16, usize> = HashMap::new();
        let mut closed = Seen::default();
        for known in std::mem::take(&mut self.known).into_iter().rev() {
            let is_replaced = oneof(&known).is_some_and(|oneof| {
                if *winners.entry(oneof).or_insert(known.index) != known.index {
                    closed.insert(usize::from(oneof));
                }
                closed.contains(usize::from(oneof))
            });
            match is_replaced {
                true => self.replaced.push(known),
                false => self.known.push(known),
            }
        }
        self.known.reverse();
    }

    /// Sorts what was read into known and unknown; a closed enum does not know numbers without a
    /// name.
    fn add(
        &mut self,
        types: &Types,
        plan: &MessagePlan,
        occurrence: Option<Occurrence<'w>>,
        raw: &'w [u8],
    ) -> Read<()> {
        let known = occurrence.and_then(|o| Some((o, plan.fields.get(o.index)?)));
        let Some((occurrence, field)) = known else {
            self.unknown.push(Unknown::Raw(raw));
            return Ok(());
        };
        self.sort(types, field, occurrence, raw)
            .map_err(|error| error.in_field(&field.shown_name))
    }

    fn sort(
        &mut self,
        types: &Types,
        field: &FieldPlan,
        occurrence: Occurrence<'w>,
        raw: &'w [u8],
    ) -> Read<()> {
        if field.is_utf8_checked {
            occurrence.check_utf8()?;
        }
        match closed_enum(types, field) {
            None => self.known.push(occurrence),
            Some(id) if field.label == Label::Map => {
                if has_named_value(types, id, occurrence.value)? {
                    self.known.push(occurrence);
                } else {
                    self.unknown.push(Unknown::Raw(raw));
                }
            }
            Some(id) if is_run(field, occurrence.wire_type) => {
                occurrence.each(field, |value| {
                    let value = value.varint()?;
                    if !types.is_named(id, value) {
                        self.unknown.push(Unknown::Value(field.number, value));
                    }
                    Ok(())
                })?;
                self.known.push(occurrence);
            }
            Some(id) => {
                if types.is_named(id, { occurrence.value }.varint()?) {
                    self.known.push(occurrence);
                } else {
                    self.unknown.push(Unknown::Raw(raw));
                }
            }
        }
        Ok(())
    }
}

/// Returns the closed enum of a field's values, of a map the one of its entries' values.
fn closed_enum(types: &Types, field: &FieldPlan) -> Option<EnumId> {
    let kind = match (field.label, field.kind) {
        (Label::Map, Kind::Message(entry)) => types.message(entry).fields.get(1)?.kind,
        (_, kind) => kind,
    };
    match kind {
        Kind::Enum(id) if types.enums[id].is_closed => Some(id),
        _ => None,
    }
}

/// Returns whether the value of a map entry is one that the enum knows.
fn has_named_value(types: &Types, id: EnumId, mut entry: Reader<'_>) -> Read<bool> {
    let mut is_named = true;
    let mut reader = Reader::new(entry.delimited()?);
    while let Some((number, wire_type)) = reader.tag()? {
        if (number, wire_type) == (2, WireType::Varint) {
            is_named = types.is_named(id, reader.varint()?);
        } else {
            reader.skip(number, wire_type)?;
        }
    }
    Ok(is_named)
}

// === impl Occurrence ===

impl<'w> Occurrence<'w> {
    /// Returns whether the value is a packed run.
    pub fn is_run(&self, field: &FieldPlan) -> bool {
        is_run(field, self.wire_type)
    }

    /// Returns the bytes of a message or group.
    pub fn content(&self, field: &FieldPlan) -> Read<&'w [u8]> {
        let mut value = self.value;
        match self.wire_type {
            WireType::StartGroup => value.group(field.number),
            _ => value.delimited(),
        }
    }

    fn check_utf8(&self) -> Read<()> {
        match std::str::from_utf8({ self.value }.delimited()?) {
            Ok(_) => Ok(()),
            Err(_) => Err(WireError::new("string is not UTF-8")),
        }
    }

    /// Calls `visit` before each scalar, in a packed run or alone. `visit` has to read the scalar.
    pub fn each(
        &self,
        field: &FieldPlan,
        mut visit: impl FnMut(&mut Reader<'w>) -> Read<()>,
    ) -> Read<()> {
        let mut value = self.value;
        if !is_run(field, self.wire_type) {
            return visit(&mut value);
        }
        let mut run = Reader::new(value.delimited()?);
        while !run.rest.is_empty() {
            visit(&mut run)?;
        }
        Ok(())
    }
}
