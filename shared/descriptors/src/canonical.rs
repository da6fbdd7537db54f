//! Wire bytes to wire bytes in canonical form: every field once, in order, at its shortest, then
//! unknown fields.

use wire::{MAX_DEPTH, Read, Reader, Tag, WireError, WireType, close, open, put_varint, unzigzag};

use crate::kind::{Kind, Label, MessageId};
use crate::occurrences::{ITEM, ITEM_MESSAGE, ITEM_TYPE, Occurrence, Unknown, collect};
use crate::plan::{FieldPlan, MessagePlan, Types};

/// Appends the canonical form of a message.
pub fn put_canonical(
    types: &Types,
    plan: &MessagePlan,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Read<()> {
    Writer { types, out }.message(plan, &[wire], 0)
}

struct Writer<'t> {
    types: &'t Types,
    out: &'t mut Vec<u8>,
}

impl<'t> Writer<'t> {
    /// Appends the message that `parts` amount to: a message decodes from the concatenation of its
    /// parts, by which it merges.
    fn message(&mut self, plan: &MessagePlan, parts: &[&[u8]], depth: usize) -> Read<()> {
        if depth == MAX_DEPTH {
            return Err(WireError::new(wire::TOO_DEEP));
        }
        let found = collect(self.types, plan, parts, |_| true)?;
        for group in found.known.chunk_by(|a, b| a.index == b.index) {
            let Some(field) = group.first().and_then(|first| plan.fields.get(first.index)) else {
                continue;
            };
            self.field(plan, field, group, depth)
                .map_err(|error| error.in_field(&field.shown_name))?;
        }
        for replaced in &found.replaced {
            if let Some(field) = plan.fields.get(replaced.index) {
                self.check(plan, field, std::slice::from_ref(replaced), depth)?;
            }
        }
        for unknown in found.unknown {
            match unknown {
                Unknown::Raw(bytes) => self.out.extend_from_slice(bytes),
                Unknown::Value(number, value) => {
                    Tag::new(number, WireType::Varint).put(self.out);
                    put_varint(self.out, value);
                }
            }
        }
        Ok(())
    }

    /// Appends what all occurrences of one field amount to.
    fn field(
        &mut self,
        plan: &MessagePlan,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<()> {
        match (field.label, field.message()) {
            (Label::Map, Some(entry)) => self.map(field, entry, group, depth),
            (Label::Packed, None) => self.packed(field, group),
            (Label::Repeated, None) => self.unpacked(field, group),
            (Label::Repeated | Label::Packed, Some(_)) => group.iter().try_for_each(|occurrence| {
                self.submessage(plan, field, std::slice::from_ref(occurrence), depth)
            }),
            (label, _) => {
                let start = self.out.len();
                let is_default = self.singular(plan, field, group, depth)?;
                if is_default && label == Label::Implicit {
                    self.out.truncate(start);
                }
                Ok(())
            }
        }
    }

    /// Appends a field that has one value; returns whether that is its type's default.
    fn singular(
        &mut self,
        plan: &MessagePlan,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<bool> {
        match group {
            _ if field.message().is_some() => {
                self.submessage(plan, field, group, depth).map(|()| false)
            }
            [.., last] => {
                field.tag.put(self.out);
                self.scalar(field, &mut { last.value })
            }
            [] => Ok(true),
        }
    }

    /// Rejects malformed values that a later value has replaced.
    fn check(
        &mut self,
        plan: &MessagePlan,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<()> {
        let start = self.out.len();
        self.singular(plan, field, group, depth)
            .map_err(|error| error.in_field(&field.shown_name))?;
        self.out.truncate(start);
        Ok(())
    }

    /// Appends a message or group, merged from its occurrences.
    fn submessage(
        &mut self,
        plan: &MessagePlan,
        field: &FieldPlan,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<()> {
        let Some(id) = field.message() else {
            return Ok(());
        };
        let inner = self.types.message(id);
        let parts: Read<Vec<&[u8]>> = group.iter().map(|o| o.content(field)).collect();
        let parts = parts?;
        if plan.is_message_set {
            Tag::new(ITEM, WireType::StartGroup).put(self.out);
            Tag::new(ITEM_TYPE, WireType::Varint).put(self.out);
            put_varint(self.out, u64::from(field.number));
            Tag::new(ITEM_MESSAGE, WireType::Delimited).put(self.out);
            self.delimited(inner, &parts, depth)?;
            Tag::new(ITEM, WireType::EndGroup).put(self.out);
            return Ok(());
        }
        field.tag.put(self.out);
        if matches!(field.kind, Kind::Message(_)) {
            return self.delimited(inner, &parts, depth);
        }
        self.message(inner, &parts, depth + 1)?;
        Tag::new(field.number, WireType::EndGroup).put(self.out);
        Ok(())
    }

    fn delimited(&mut self, plan: &MessagePlan, parts: &[&[u8]], depth: usize) -> Read<()> {
        let at = open(self.out);
        self.message(plan, parts, depth + 1)?;
        close(self.out, at);
        Ok(())
    }

    fn unpacked(&mut self, field: &FieldPlan, group: &[Occurrence<'_>]) -> Read<()> {
        for occurrence in group {
            occurrence.each(field, |value| {
                if self.is_named(field, *value)? {
                    field.tag.put(self.out);
                    self.scalar(field, value).map(drop)
                } else {
                    value.varint().map(drop)
                }
            })?;
        }
        Ok(())
    }

    fn packed(&mut self, field: &FieldPlan, group: &[Occurrence<'_>]) -> Read<()> {
        let start = self.out.len();
        field.tag.put(self.out);
        let at = open(self.out);
        for occurrence in group {
            occurrence.each(field, |value| {
                if self.is_named(field, *value)? {
                    self.scalar(field, value).map(drop)
                } else {
                    value.varint().map(drop)
                }
            })?;
        }
        if self.out.len() == at + 1 {
            self.out.truncate(start);
        } else {
            close(self.out, at);
        }
        Ok(())
    }

    /// Returns whether the schema knows the value that comes next; where not, it stands among the
    /// unknown fields.
    fn is_named(&self, field: &FieldPlan, mut value: Reader<'_>) -> Read<bool> {
        match field.kind {
            Kind::Enum(id) if self.types.enums[id].is_closed => {
                Ok(self.types.is_named(id, value.varint()?))
            }
            _ => Ok(true),
        }
    }

    /// Appends map entries, sorted; of those with one key, the last.
    fn map(
        &mut self,
        field: &FieldPlan,
        entry: MessageId,
        group: &[Occurrence<'_>],
        depth: usize,
    ) -> Read<()> {
        let plan = self.types.message(entry);
        let [key_field, value_field] = plan.fields.as_slice() else {
            return Ok(());
        };
        let mut entries = Vec::with_capacity(group.len());
        for occurrence in group {
            let parts = [occurrence.content(field)?];
            let found = collect(self.types, plan, &parts, |_| true)?;
            let is_key = |occurrence: &Occurrence<'_>| occurrence.index == 0;
            let split = found.known.partition_point(is_key);
            let key = found.known.get(..split).and_then(<[_]>::last).copied();
            let values: Vec<_> = found.known.iter().skip(split).copied().collect();
            entries.push((sort_key(key_field, key)?, values));
        }
        // Stable, so that of equal keys the last one of the wire comes last.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for same in entries.chunk_by(|(a, _), (b, _)| a == b) {
            let [replaced @ .., (key, values)] = same else {
                continue;
            };
            for (_, values) in replaced {
                self.check(plan, value_field, values, depth)?;
            }
            field.tag.put(self.out);
            let at = open(self.out);
            self.key(key_field, key);
            match values.as_slice() {
                [] if value_field.message().is_none() => self.absent_value(value_field),
                values => drop(self.singular(plan, value_field, values, depth)?),
            }
            close(self.out, at);
        }
        Ok(())
    }

    fn key(&mut self, field: &FieldPlan, key: &SortKey<'_>) {
        field.tag.put(self.out);
        match key {
            SortKey::Number(_, number) => self.put_number(field.kind, *number),
            SortKey::Text(text) => self.put_bytes(text),
        }
    }

    /// Entries hold their value even when it is the default, as all implementations write them.
    fn absent_value(&mut self, field: &FieldPlan) {
        field.tag.put(self.out);
        match field.kind {
            Kind::Enum(id) => {
                let number = i64::from(self.types.enums[id].default_number());
                self.put_number(field.kind, number as u64);
            }
            kind if kind.wire_type() == WireType::Delimited => self.out.push(0),
            kind => self.put_number(kind, 0),
        }
    }

    /// Appends one scalar; returns whether it is its type's default.
    fn scalar(&mut self, field: &FieldPlan, value: &mut Reader<'_>) -> Read<bool> {
        if let Kind::String | Kind::Bytes = field.kind {
            let bytes = value.delimited()?;
            self.put_bytes(bytes);
            return Ok(bytes.is_empty());
        }
        let number = normal(field.kind, value)?;
        self.put_number(field.kind, number);
        Ok(number == 0)
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn put_number(&mut self, kind: Kind, number: u64) {
        match kind.wire_type() {
            WireType::Fixed64 => self.out.extend(number.to_le_bytes()),
            WireType::Fixed32 => self.out.extend((number as u32).to_le_bytes()),
            _ => put_varint(self.out, number),
        }
    }
}

/// Keys as they are sorted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey<'w> {
    /// The value, by which keys are sorted, and what stands for it on the wire.
    Number(i128, u64),
    Text(&'w [u8]),
}

fn sort_key<'w>(field: &FieldPlan, key: Option<Occurrence<'w>>) -> Read<SortKey<'w>> {
    let mut value = match key {
        Some(key) => key.value,
        None if field.kind == Kind::String => return Ok(SortKey::Text(&[])),
        None => return Ok(SortKey::Number(0, 0)),
    };
    if field.kind == Kind::String {
        return Ok(SortKey::Text(value.delimited()?));
    }
    let number = normal(field.kind, &mut value)?;
    let value = match field.kind {
        Kind::Int32 | Kind::Int64 | Kind::Sfixed64 => i128::from(number as i64),
        Kind::Sfixed32 => i128::from(number as i32),
        Kind::Sint32 | Kind::Sint64 => i128::from(unzigzag(number)),
        _ => i128::from(number),
    };
    Ok(SortKey::Number(value, number))
}

/// Returns the value as its type holds it: narrow types keep their low bits, as all implementations
/// do with values that are too large.
fn normal(kind: Kind, value: &mut Reader<'_>) -> Read<u64> {
    Ok(match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => value.fixed64()?,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => u64::from(value.fixed32()?),
        Kind::Bool => u64::from(value.varint()? != 0),
        Kind::Int32 | Kind::Enum(_) => i64::from(value.varint()? as i32) as u64,
        Kind::Uint32 | Kind::Sint32 => u64::from(value.varint()? as u32),
        _ => value.varint()?,
    })
}
