//! The slow path: fields in any order, singular fields more than once, map keys more than once.

use std::{borrow::Cow, collections::HashMap};

use super::{Decoder, find, zero};
use crate::{
    encode::{canonical_key, key_of},
    fields::Select,
    occurrences::{Occurrence, collect},
    plan::{FieldPlan, Kind, Label, MessagePlan},
    wire::{Read, Reader},
};

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
                .map_err(|error| error.in_field(&field.json_name))?;
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
                    let parts: Read<Vec<&[u8]>> = group.iter().map(|o| o.content(field)).collect();
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
            if last.get(key_of(entry, key_kind)?) == Some(&position) {
                self.entry(plan, entry, depth, select)?;
            }
        }
        let is_empty = self.out.len() == start;
        self.enclose(start, b'{', b'}');
        Ok(is_empty)
    }

    /// Writes one map entry with a comma in front, and returns its key: a message of key and value, either of which may be left
    /// out where it is the default.
    pub(super) fn entry<'w, S: Select>(
        &mut self,
        plan: &MessagePlan,
        entry: &'w [u8],
        depth: usize,
        select: S,
    ) -> Read<&'w [u8]> {
        let [key_field, value_field] = plan.fields.as_slice() else {
            return Ok(&[]);
        };
        let start = self.out.len();
        if let Some(key) = self.plain_entry(key_field, value_field, entry, depth, select)? {
            return Ok(key);
        }
        self.out.truncate(start);
        self.unusual_entry(plan, [key_field, value_field], entry, depth, select)?;
        key_of(entry, key_field.kind)
    }

    /// Writes an entry that is key and value in this order; `None`, with something written, if it is not.
    #[inline]
    fn plain_entry<'w, S: Select>(
        &mut self,
        key: &FieldPlan,
        value: &FieldPlan,
        entry: &'w [u8],
        depth: usize,
        select: S,
    ) -> Read<Option<&'w [u8]>> {
        let Some(start) = key.tag.strip(entry) else {
            return Ok(None);
        };
        let mut reader = Reader::new(start);
        self.out.push(b',');
        self.map_key(key.kind, &mut reader)?;
        let key = match key.kind {
            Kind::String => Reader::new(start).delimited()?,
            kind => {
                let length = start.len() - reader.rest.len();
                canonical_key(start.get(..length).unwrap_or_default(), kind)
            }
        };
        let Some(rest) = value.tag.strip(reader.rest) else {
            return Ok(None);
        };
        reader.rest = rest;
        self.singular(value, &mut reader, depth, select)?;
        Ok(reader.rest.is_empty().then_some(key))
    }

    fn unusual_entry<S: Select>(
        &mut self,
        plan: &MessagePlan,
        [key_field, value_field]: [&FieldPlan; 2],
        entry: &[u8],
        depth: usize,
        select: S,
    ) -> Read<()> {
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
        self.out.push(b',');
        self.map_key(key_field.kind, &mut key.unwrap_or(zero()))?;
        match value {
            Some(mut value) if is_plain => self
                .singular(value_field, &mut value, depth, select)
                .map(drop),
            Some(_) => self.only(plan, 1, entry, depth, select),
            None => match value_field.message() {
                Some(id) => self.message(id, &[], depth + 1, select),
                None => self.default_scalar(value_field.kind),
            },
        }
    }

    fn map_key(&mut self, kind: Kind, key: &mut Reader<'_>) -> Read<()> {
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
        self.scalar(kind, key)?;
        self.out
            .extend_from_slice(if is_quoted { b":" } else { b"\":" });
        Ok(())
    }
}
