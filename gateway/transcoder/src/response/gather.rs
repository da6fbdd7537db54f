//! The slow path: fields in any order, singular fields more than once, map keys more than once.

use std::{borrow::Cow, collections::HashMap};

use super::{Decoder, find, zero};
use crate::{
    encode::{Seen, key_of},
    plan::{FieldPlan, Kind, Label, MessagePlan},
    wire::{Read, Reader, WireType},
};

/// One occurrence of a known field.
#[derive(Debug, Clone, Copy)]
struct Occurrence<'w> {
    index: usize,
    wire_type: WireType,
    /// In front of the value.
    value: Reader<'w>,
}

impl Decoder<'_> {
    /// Writes the members of a message in the order of the plan.
    pub(super) fn gathered(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        mut is_first: bool,
        depth: usize,
    ) -> Read<()> {
        let mut occurrences = collect(plan, wire, |_| true)?;
        drop_overwritten_members(plan, &mut occurrences);
        occurrences.sort_by_key(|occurrence| occurrence.index);
        let mut next = 0;
        for group in occurrences.chunk_by(|a, b| a.index == b.index) {
            let index = group[0].index;
            let field = &plan.fields[index];
            self.defaults(&plan.fields[next..index], &mut is_first)?;
            let start = self.out.len();
            self.key(field, is_first);
            let is_default = self
                .merged(field, group, depth)
                .map_err(|error| error.in_field(&field.json_name))?;
            if is_default && field.label != Label::Explicit {
                self.out.truncate(start);
                self.defaults(&plan.fields[index..=index], &mut is_first)?;
            } else {
                is_first = false;
            }
            next = index + 1;
        }
        self.defaults(&plan.fields[next..], &mut is_first)
    }

    /// Writes the value of one field and nothing else of the message.
    pub(super) fn only(
        &mut self,
        plan: &MessagePlan,
        index: usize,
        wire: &[u8],
        depth: usize,
    ) -> Read<()> {
        let field = &plan.fields[index];
        let mut occurrences = collect(plan, wire, |candidate| {
            let oneof = plan.fields[candidate].oneof;
            candidate == index || (oneof.is_some() && oneof == field.oneof)
        })?;
        drop_overwritten_members(plan, &mut occurrences);
        occurrences.retain(|occurrence| occurrence.index == index);
        match occurrences.as_slice() {
            [] => self.default(field),
            group => self.merged(field, group, depth).map(drop),
        }
    }

    /// Writes what all occurrences of one field amount to; returns whether that is the default.
    fn merged(&mut self, field: &FieldPlan, group: &[Occurrence<'_>], depth: usize) -> Read<bool> {
        let [.., last] = group else {
            return Ok(true);
        };
        match (field.label, field.kind) {
            (Label::Map, _) => self.merged_map(field, group, depth),
            (Label::Repeated | Label::Packed, _) => {
                self.out.push(b'[');
                let start = self.out.len();
                for mut occurrence in group.iter().copied() {
                    let wire_type = occurrence.wire_type;
                    self.elements(field, wire_type, &mut occurrence.value, start, depth)?;
                }
                let is_empty = self.out.len() == start;
                self.out.push(b']');
                Ok(is_empty)
            }
            (_, Kind::Message(id) | Kind::Group(id)) => {
                // Messages merge field by field, which is what their concatenation decodes to.
                let mut content = Cow::Borrowed(content(field, last)?);
                if group.len() > 1 {
                    // Each has to be a message of its own: two halves of one are malformed.
                    let part = |o| self::content(field, o).and_then(well_formed);
                    let parts: Read<Vec<&[u8]>> = group.iter().map(part).collect();
                    content = Cow::Owned(parts?.concat());
                }
                self.message(id, &content, depth + 1).map(|()| false)
            }
            (_, kind) => self.scalar(kind, &mut { last.value }),
        }
    }

    fn merged_map(
        &mut self,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<bool> {
        let Some(id) = field.message() else {
            return Ok(true);
        };
        let key_kind = self.types.message(id).fields[0].kind;
        let mut entries = Vec::with_capacity(group.len());
        let mut last = HashMap::with_capacity(group.len());
        for (position, occurrence) in group.iter().enumerate() {
            let entry = content(field, occurrence)?;
            last.insert(key_of(entry, key_kind)?, position);
            entries.push(entry);
        }
        self.out.push(b'{');
        let mut is_first = true;
        for (position, entry) in entries.into_iter().enumerate() {
            if last.get(&key_of(entry, key_kind)?) == Some(&position) {
                self.entry(field, entry, is_first, depth)?;
                is_first = false;
            }
        }
        self.out.push(b'}');
        Ok(is_first)
    }

    /// Writes one map entry: a message of key and value, either of which may be left out where it is the default.
    pub(super) fn entry(
        &mut self,
        field: &FieldPlan,
        entry: &[u8],
        is_first: bool,
        depth: usize,
    ) -> Read<()> {
        let Some(plan) = field.message().map(|id| self.types.message(id)) else {
            return Ok(());
        };
        let [key_field, value_field] = plan.fields.as_slice() else {
            return Ok(());
        };
        let (mut key, mut value) = (None, None);
        let mut is_plain = true;
        let mut reader = Reader::new(entry);
        while let Some((number, wire_type)) = reader.tag()? {
            let slot = match find(plan, number, wire_type, 0) {
                Some(0) => Some(&mut key),
                Some(_) => Some(&mut value),
                None => None,
            };
            if let Some(slot) = slot {
                is_plain &= slot.is_none();
                *slot = Some(reader);
            }
            reader.skip(number, wire_type)?;
        }
        if !is_first {
            self.out.push(b',');
        }
        self.map_key(key_field.kind, key.unwrap_or(zero()))?;
        match value {
            Some(mut value) if is_plain => self.singular(value_field, &mut value, depth).map(drop),
            Some(_) => self.only(plan, 1, entry, depth),
            None => match value_field.message() {
                Some(id) => self.message(id, &[], depth + 1),
                None => self.scalar(value_field.kind, &mut zero()).map(drop),
            },
        }
    }

    fn map_key(&mut self, kind: Kind, mut key: Reader<'_>) -> Read<()> {
        // These are in quotes anyway.
        let is_quoted = matches!(
            kind,
            Kind::String
                | Kind::Int64
                | Kind::Uint64
                | Kind::Sint64
                | Kind::Fixed64
                | Kind::Sfixed64
        );
        if !is_quoted {
            self.out.push(b'"');
        }
        self.scalar(kind, &mut key)?;
        self.out
            .extend_from_slice(if is_quoted { b":" } else { b"\":" });
        Ok(())
    }
}

/// The occurrences of the wanted fields, in the order of the wire.
fn collect<'w>(
    plan: &MessagePlan,
    wire: &'w [u8],
    wants: impl Fn(usize) -> bool,
) -> Read<Vec<Occurrence<'w>>> {
    let mut occurrences = Vec::new();
    let mut reader = Reader::new(wire);
    while let Some((number, wire_type)) = reader.tag()? {
        if let Some(index) = find(plan, number, wire_type, usize::MAX).filter(|i| wants(*i)) {
            occurrences.push(Occurrence {
                index,
                wire_type,
                value: reader,
            });
        }
        reader.skip(number, wire_type)?;
    }
    Ok(occurrences)
}

/// Of a oneof, the member that comes last counts; what it had before another member came is lost.
fn drop_overwritten_members(plan: &MessagePlan, occurrences: &mut Vec<Occurrence<'_>>) {
    let mut winners: HashMap<u16, usize> = HashMap::new();
    let mut closed = Seen::default();
    let mut keep: Vec<bool> = occurrences
        .iter()
        .rev()
        .map(|occurrence| {
            let Some(oneof) = plan.fields[occurrence.index].oneof else {
                return true;
            };
            let winner = *winners.entry(oneof).or_insert(occurrence.index);
            if winner != occurrence.index {
                closed.insert(usize::from(oneof));
            }
            winner == occurrence.index && !closed.contains(usize::from(oneof))
        })
        .collect();
    occurrences.retain(|_| keep.pop().unwrap_or(true));
}

/// The bytes of a message or group occurrence.
fn content<'w>(field: &FieldPlan, occurrence: &Occurrence<'w>) -> Read<&'w [u8]> {
    let mut value = occurrence.value;
    match field.kind {
        Kind::Group(_) => value.group(field.number),
        _ => value.delimited(),
    }
}

/// Walks over the fields of a message.
fn well_formed(wire: &[u8]) -> Read<&[u8]> {
    let mut reader = Reader::new(wire);
    while let Some((number, wire_type)) = reader.tag()? {
        reader.skip(number, wire_type)?;
    }
    Ok(wire)
}
