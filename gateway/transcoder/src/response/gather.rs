//! The slow path: fields in any order, singular fields more than once, map keys more than once.

use std::borrow::Cow;
use std::collections::HashMap;

use descriptors::{FieldPlan, Kind, Label, MessagePlan, Occurrence, collect, key_of};
use wire::{Read, Reader};

use super::Decoder;
use crate::fields::Select;

impl Decoder<'_> {
    /// Writes the members of a message in the order of the plan.
    pub(super) fn gathered<S: Select>(
        &mut self,
        plan: &MessagePlan,
        wire: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
        let occurrences = collect(self.types, plan, &[wire], |_| true)?.known;
        let mut next = 0;
        for group in occurrences.chunk_by(|a, b| a.index == b.index) {
            let index = group[0].index;
            let field = &plan.fields[index];
            let Some(inner) = select.field(index) else {
                continue;
            };
            self.defaults(plan, next..index, select)?;
            next = index + 1;
            let start = self.out.len();
            field.key.put(self.out);
            let is_default = self
                .merged(field, group, depth, inner)
                .map_err(|error| error.in_field(&field.shown_name))?;
            if is_default && field.label != Label::Explicit {
                self.out.truncate(start);
                self.defaults(plan, index..next, select)?;
            }
        }
        self.defaults(plan, next..plan.fields.len(), select)
    }

    /// Writes the value of one field and nothing else of the message.
    pub(super) fn only<S: Select>(
        &mut self,
        plan: &MessagePlan,
        index: usize,
        wire: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
        let field = &plan.fields[index];
        let found = collect(self.types, plan, &[wire], |candidate| {
            let oneof = plan.fields[candidate].oneof;
            candidate == index || (oneof.is_some() && oneof == field.oneof)
        })?;
        let mut occurrences = found.known;
        occurrences.retain(|occurrence| occurrence.index == index);
        match occurrences.as_slice() {
            [] => self.default(field),
            group => self.merged(field, group, depth, select).map(drop),
        }
    }

    /// Writes what all occurrences of one field amount to; returns whether that is the default.
    fn merged<S: Select>(
        &mut self,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
        select: S,
    ) -> Read<bool> {
        let [.., last] = group else {
            return Ok(true);
        };
        match (field.label, field.kind) {
            (Label::Map, _) => self.merged_map(field, group, depth, select),
            (Label::Repeated | Label::Packed, _) => {
                let start = self.out.len();
                for mut occurrence in group.iter().copied() {
                    let is_run = occurrence.is_run(field);
                    self.elements(field, is_run, &mut occurrence.value, depth, select)?;
                }
                let is_empty = self.out.len() == start;
                self.enclose(start, b'[', b']');
                Ok(is_empty)
            }
            (_, Kind::Message(id) | Kind::Group(id)) => {
                // Messages merge field by field, which is what their concatenation decodes to.
                let mut content = Cow::Borrowed(last.content(field)?);
                if group.len() > 1 {
                    // Each has to be a message: two halves of one are malformed.
                    let parts = group.iter().map(|o| o.content(field).and_then(well_formed));
                    let parts: Read<Vec<&[u8]>> = parts.collect();
                    content = Cow::Owned(parts?.concat());
                }
                self.message(id, &content, depth + 1, select)
                    .map(|()| false)
            }
            (_, kind) => self.scalar(kind, &mut { last.value }),
        }
    }

    fn merged_map<S: Select>(
        &mut self,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
        select: S,
    ) -> Read<bool> {
        let Some(id) = field.message() else {
            return Ok(true);
        };
        let plan = self.types.message(id);
        let key_kind = plan.fields[0].kind;
        let mut entries = Vec::with_capacity(group.len());
        let mut last = HashMap::with_capacity(group.len());
        for (position, occurrence) in group.iter().enumerate() {
            let entry = occurrence.content(field)?;
            last.insert(key_of(entry, key_kind)?, position);
            entries.push(entry);
        }
        let start = self.out.len();
        for (position, entry) in entries.into_iter().enumerate() {
            if last.get(&key_of(entry, key_kind)?) == Some(&position) {
                self.entry(plan, entry, depth, select)?;
            }
        }
        let is_empty = self.out.len() == start;
        self.enclose(start, b'{', b'}');
        Ok(is_empty)
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
