//! Walks wire bytes in place and reports what breaks a rule.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::{
    Violations,
    path::Path,
    pieces::{self, Elements, Piece, Pieces},
    table::{
        Check, Choice, FieldRules, Form, Ignore, MessageRules, Need, OwnRules, Rules, ValueRules,
    },
    value::{self, Identity, Value, raw_value},
};
use crate::{
    error::ResponseError,
    limits::MAX_DEPTH,
    plan::{FieldPlan, Kind, Label, MessageId, MessagePlan, Types},
    wire::{Read, Reader, TOO_DEEP, WireType},
};

const NO_NUL: (&str, &str) = ("string.no_nul", "must not contain U+0000");
const REQUIRED: (&str, &str) = ("required", "value is required");

/// One walk over one message.
pub(super) struct Walk<'a> {
    types: &'a Types,
    rules: &'a Rules,
    /// Nanoseconds since the epoch.
    now: Option<i128>,
    pieces: Pieces<'a>,
    found: Violations,
}

/// A message on the way down.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p Path<'p>,
    need: Need,
    depth: usize,
}

/// A field of it, with all its pieces.
struct Group<'a> {
    field: &'a FieldPlan,
    rules: &'a FieldRules,
    range: Range<usize>,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Returns what is wrong with a message of type `id`.
    pub(super) fn run(
        types: &'a Types,
        id: MessageId,
        wire: &'a [u8],
        need: Need,
        now: Option<i128>,
    ) -> Read<Violations> {
        let mut walk = Walk {
            types,
            rules: &types.rules,
            now,
            pieces: Pieces::new(),
            found: Violations::default(),
        };
        walk.pieces.push(Piece {
            field: 0,
            is_packed: false,
            raw: wire,
        });
        let place = Place {
            path: &Path::ROOT,
            need,
            depth: 0,
        };
        walk.message(id, 0..1, place)?;
        Ok(walk.found)
    }

    /// The message whose content is that of all pieces in `range`, one behind the other.
    fn message(&mut self, id: MessageId, range: Range<usize>, place: Place<'_>) -> Read<()> {
        let Some(rules) = self.rules.messages.get(id) else {
            return Ok(());
        };
        if !rules.need.meets(place.need) {
            return Ok(());
        }
        if place.depth > MAX_DEPTH {
            return Err(ResponseError::new(TOO_DEEP));
        }
        let plan = self.types.message(id);
        let base = self.pieces.len();
        for index in range {
            let content = self.piece(index).raw;
            pieces::collect(plan, rules, place.need, content, &mut self.pieces)?;
        }
        pieces::settle(plan, rules, self.pieces.get_mut(base..).unwrap_or_default());
        let end = self.pieces.len();
        if place.need.meets(Need::RULES) {
            self.choices(plan, rules, base..end, place)?;
        }
        self.fields(plan, rules, base..end, place)?;
        self.pieces.truncate(base);
        Ok(())
    }

    fn piece(&self, index: usize) -> Piece<'a> {
        self.pieces.get(index).copied().unwrap_or(Piece {
            field: 0,
            is_packed: false,
            raw: &[],
        })
    }

    fn fields(
        &mut self,
        plan: &'a MessagePlan,
        rules: &'a MessageRules,
        all: Range<usize>,
        place: Place<'_>,
    ) -> Read<()> {
        let mut start = all.start;
        for index in &rules.active {
            while start < all.end && self.piece(start).field < *index {
                start += 1;
            }
            let mut end = start;
            while end < all.end && self.piece(end).field == *index {
                end += 1;
            }
            let (Some(field), Some(field_rules)) = (
                plan.fields.get(*index as usize),
                rules.fields.get(*index as usize),
            ) else {
                continue;
            };
            let group = Group {
                field,
                rules: field_rules,
                range: start..end,
            };
            let path = place.path.field(&field.json_name);
            let place = Place {
                path: &path,
                ..place
            };
            self.field(&group, place)
                .map_err(|error| error.in_field(&field.json_name))?;
            start = end;
        }
        Ok(())
    }

    /// Rules over several fields of the message.
    fn choices(
        &mut self,
        plan: &'a MessagePlan,
        rules: &'a MessageRules,
        all: Range<usize>,
        place: Place<'_>,
    ) -> Read<()> {
        for choice in &rules.choices {
            self.choice(plan, choice, all.clone(), place)?;
        }
        for oneof in &rules.required_oneofs {
            let pieces = self.pieces.get(all.clone()).unwrap_or_default();
            if !pieces
                .iter()
                .any(|piece| oneof.members.contains(&piece.field))
            {
                let path = place.path.field(&oneof.name);
                self.report(&path, REQUIRED.0, "exactly one field is required in oneof");
            }
        }
        Ok(())
    }

    fn choice(
        &mut self,
        plan: &'a MessagePlan,
        choice: &Choice,
        all: Range<usize>,
        place: Place<'_>,
    ) -> Read<()> {
        let mut count = 0;
        for member in &choice.members {
            let pieces = self.pieces.get(all.clone()).unwrap_or_default();
            let start = pieces.partition_point(|piece| piece.field < *member);
            let end = pieces.partition_point(|piece| piece.field <= *member);
            if let Some(field) = plan.fields.get(*member as usize) {
                let range = all.start + start..all.start + end;
                count += usize::from(self.is_set(field, range)?);
            }
        }
        match count {
            0 if choice.is_required => {
                self.report(place.path, "message.oneof", &choice.exactly_one)
            }
            0 | 1 => {}
            _ => self.report(place.path, "message.oneof", &choice.at_most_one),
        }
        Ok(())
    }

    /// Whether the field counts as present.
    fn is_set(&self, field: &FieldPlan, range: Range<usize>) -> Read<bool> {
        match field.label {
            Label::Repeated | Label::Packed => {
                let pieces = self.pieces.get(range).unwrap_or_default();
                Ok(pieces
                    .iter()
                    .any(|piece| !piece.is_packed || !piece.raw.is_empty()))
            }
            Label::Implicit => Ok(!self.scalar(field.kind, range)?.is_default()),
            _ => Ok(!range.is_empty()),
        }
    }

    fn field(&mut self, group: &Group<'a>, place: Place<'_>) -> Read<()> {
        let own = group.rules.own.as_deref();
        let is_ignored = own.is_some_and(|own| own.value.ignore == Ignore::Always);
        let rules = own.filter(|_| !is_ignored && place.need.meets(Need::RULES));
        // What `ignore` passes over is stored like the rest, so that text is looked at everywhere.
        let place = Place {
            need: if is_ignored {
                place.need.and(Need::TEXT)
            } else {
                place.need
            },
            ..place
        };
        match group.field.label {
            Label::Map => self.map(group, rules, place),
            Label::Repeated | Label::Packed => self.list(group, rules, place),
            _ => self.singular(group, rules, place),
        }
    }

    fn singular(
        &mut self,
        group: &Group<'a>,
        rules: Option<&'a OwnRules>,
        place: Place<'_>,
    ) -> Read<()> {
        let field = group.field;
        let is_set = self.is_set(field, group.range.clone())?;
        if let Some(rules) = rules {
            let is_optional =
                field.label != Label::Implicit || rules.value.ignore == Ignore::IfZero;
            match is_set {
                false if rules.is_required => self.report(place.path, REQUIRED.0, REQUIRED.1),
                false if is_optional => {}
                _ => {
                    let value = self.value(field.kind, rules.value.form, group.range.clone())?;
                    self.checks(&rules.value.checks, &value, place.path);
                }
            }
        }
        if is_set {
            self.inside(field, group.range.clone(), place)?;
        }
        Ok(())
    }

    /// What is below a value: its text, or the fields of its message.
    fn inside(&mut self, field: &FieldPlan, range: Range<usize>, place: Place<'_>) -> Read<()> {
        match field.kind {
            Kind::Message(id) | Kind::Group(id) => {
                let depth = place.depth + 1;
                self.message(id, range, Place { depth, ..place })
            }
            Kind::String if place.need.meets(Need::TEXT) => {
                let text = self.piece(range.end.saturating_sub(1)).raw;
                if !range.is_empty() && memchr::memchr(0, text).is_some() {
                    self.report(place.path, NO_NUL.0, NO_NUL.1);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn list(
        &mut self,
        group: &Group<'a>,
        rules: Option<&'a OwnRules>,
        place: Place<'_>,
    ) -> Read<()> {
        if let Some(rules) = rules {
            let count = self.count(group)?;
            let is_passed = count == 0 && rules.value.ignore == Ignore::IfZero;
            if count == 0 && rules.is_required {
                self.report(place.path, REQUIRED.0, REQUIRED.1);
                return Ok(());
            }
            if !is_passed {
                self.checks(&rules.count, &Value::Count(count), place.path);
            }
            if let Some(unique) = &rules.unique
                && !self.is_unique(group, count)?
            {
                self.report(place.path, &unique.id, &unique.text);
            }
        }
        let items = rules
            .map(|rules| &rules.items)
            .filter(|items| items.is_active());
        let has_inside = group.field.message().is_some() || place.need.meets(Need::TEXT);
        if items.is_none() && !has_inside {
            return Ok(());
        }
        let mut index = 0;
        for at in group.range.clone() {
            for element in Elements::new(self.piece(at), group.field.kind) {
                let raw = element?;
                let path = place.path.index(index);
                let place = Place {
                    path: &path,
                    ..place
                };
                self.element(group.field, items, raw, place)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// One item of a list, as a piece of its own.
    fn element(
        &mut self,
        field: &'a FieldPlan,
        rules: Option<&'a ValueRules>,
        raw: &'a [u8],
        place: Place<'_>,
    ) -> Read<()> {
        let at = self.pieces.len();
        self.pieces.push(Piece {
            field: 0,
            is_packed: false,
            raw,
        });
        if let Some(rules) = rules {
            let value = self.value(field.kind, rules.form, at..at + 1)?;
            self.value_rules(rules, &value, place.path);
        }
        let is_ignored = rules.is_some_and(|rules| rules.ignore == Ignore::Always);
        let need = if is_ignored {
            place.need.and(Need::TEXT)
        } else {
            place.need
        };
        self.inside(field, at..at + 1, Place { need, ..place })?;
        self.pieces.truncate(at);
        Ok(())
    }

    fn count(&self, group: &Group<'a>) -> Read<u64> {
        let mut count = 0;
        for piece in self.pieces.get(group.range.clone()).unwrap_or_default() {
            if !piece.is_packed {
                count += 1;
                continue;
            }
            for element in Elements::new(*piece, group.field.kind) {
                element?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// By a set, because comparing each with each lets one request cost minutes.
    fn is_unique(&self, group: &Group<'a>, count: u64) -> Read<bool> {
        let kind = group.field.kind;
        let mut seen = HashSet::with_capacity(usize::try_from(count).unwrap_or_default());
        for piece in self.pieces.get(group.range.clone()).unwrap_or_default() {
            for element in Elements::new(*piece, kind) {
                let value = value::decode(kind, element?)?;
                if !value.is_nan() && !seen.insert(value.identity()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn map(
        &mut self,
        group: &Group<'a>,
        rules: Option<&'a OwnRules>,
        place: Place<'_>,
    ) -> Read<()> {
        let entry = group.field.message().map(|id| self.types.message(id));
        let Some([key_field, value_field]) = entry.map(|plan| plan.fields.as_slice()) else {
            return Ok(());
        };
        let entries = self.entries(group, key_field.kind)?;
        if let Some(rules) = rules {
            if entries.is_empty() && rules.is_required {
                self.report(place.path, REQUIRED.0, REQUIRED.1);
                return Ok(());
            }
            if !entries.is_empty() || rules.value.ignore != Ignore::IfZero {
                let count = Value::Count(entries.len() as u64);
                self.checks(&rules.count, &count, place.path);
            }
        }
        for (content, key) in entries {
            let path = place.path.key(&key);
            let place = Place {
                path: &path,
                ..place
            };
            self.entry(content, (key_field, &key), value_field, rules, place)?;
        }
        Ok(())
    }

    /// The entries with their keys. Of several with one key, the last one counts.
    fn entries(&self, group: &Group<'a>, key_kind: Kind) -> Read<Vec<(&'a [u8], Value<'a>)>> {
        let pieces = self.pieces.get(group.range.clone()).unwrap_or_default();
        let mut entries = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let key = last(piece.raw, 1, key_kind.wire_type())?;
            let key = key.map_or(Ok(value::default(key_kind)), |raw| {
                value::decode(key_kind, raw)
            })?;
            entries.push((piece.raw, key));
        }
        if entries.len() > 1 {
            let places: HashMap<Identity<'_>, usize> = entries
                .iter()
                .zip(0..)
                .map(|((_, key), at)| (key.identity(), at))
                .collect();
            let mut at = 0;
            entries.retain(|(_, key)| {
                at += 1;
                places.get(&key.identity()) == Some(&(at - 1))
            });
        }
        Ok(entries)
    }

    fn entry(
        &mut self,
        content: &'a [u8],
        (key_field, key): (&'a FieldPlan, &Value<'a>),
        value_field: &'a FieldPlan,
        rules: Option<&'a OwnRules>,
        place: Place<'_>,
    ) -> Read<()> {
        if let Some(rules) = rules {
            self.value_rules(&rules.keys, key, place.path);
        }
        if key_field.kind == Kind::String
            && place.need.meets(Need::TEXT)
            && memchr::memchr(0, key.bytes()).is_some()
        {
            self.report(place.path, NO_NUL.0, NO_NUL.1);
        }
        let base = self.pieces.len();
        let mut reader = Reader::new(content);
        while let Some((number, wire_type)) = reader.tag()? {
            let raw = raw_value(&mut reader, number, wire_type)?;
            if number == value_field.number && wire_type == value_field.kind.wire_type() {
                self.pieces.push(Piece {
                    field: 0,
                    is_packed: false,
                    raw,
                });
            }
        }
        if self.pieces.len() == base && value_field.message().is_some() {
            // A message that is left out is there all the same, and empty.
            self.pieces.push(Piece {
                field: 0,
                is_packed: false,
                raw: &[],
            });
        }
        let range = base..self.pieces.len();
        let mut need = place.need;
        if let Some(rules) = rules
            .map(|rules| &rules.items)
            .filter(|items| items.is_active())
        {
            let value = self.value(value_field.kind, rules.form, range.clone())?;
            self.value_rules(rules, &value, place.path);
            if rules.ignore == Ignore::Always {
                need = need.and(Need::TEXT);
            }
        }
        self.inside(value_field, range, Place { need, ..place })?;
        self.pieces.truncate(base);
        Ok(())
    }

    /// Checks of an item, a key or a value of a map: always set, but perhaps passed over.
    fn value_rules(&mut self, rules: &ValueRules, value: &Value<'_>, path: &Path<'_>) {
        let is_zero = || match value {
            Value::Int(number) if rules.first != 0 => *number == i128::from(rules.first),
            _ => value.is_default(),
        };
        let is_ignored = match rules.ignore {
            Ignore::Never => false,
            Ignore::IfZero => is_zero(),
            Ignore::Always => true,
        };
        if !is_ignored {
            self.checks(&rules.checks, value, path);
        }
    }

    fn checks(&mut self, checks: &[Check], value: &Value<'_>, path: &Path<'_>) {
        for check in checks {
            if !check.test.holds(value, self.now) {
                self.report(path, &check.id, &check.text);
            }
        }
    }

    fn report(&mut self, path: &Path<'_>, rule: &str, message: &str) {
        self.found.add(|| path.text(), rule, message);
    }

    /// The value that the pieces amount to.
    fn value(&self, kind: Kind, form: Form, range: Range<usize>) -> Read<Value<'a>> {
        match form {
            Form::Scalar => self.scalar(kind, range),
            Form::Opaque => Ok(Value::Nothing),
            Form::Wrapper(kind) => Ok(self.inner(1, kind, range)?.unwrap_or(value::default(kind))),
            Form::TypeUrl => {
                let url = self.inner(1, Kind::String, range)?;
                Ok(url.unwrap_or(Value::Text("")))
            }
            Form::Time => {
                let part = |number, kind| match self.inner(number, kind, range.clone())? {
                    Some(Value::Int(value)) => Ok(value),
                    _ => Ok(0),
                };
                let nanos = part(2, Kind::Int32)?;
                Ok(Value::Int(part(1, Kind::Int64)? * 1_000_000_000 + nanos))
            }
            Form::Paths => self.paths(range),
        }
    }

    /// A scalar: of several, the last one counts.
    fn scalar(&self, kind: Kind, range: Range<usize>) -> Read<Value<'a>> {
        match self.pieces.get(range).unwrap_or_default() {
            [.., last] => value::decode(kind, last.raw),
            [] => Ok(value::default(kind)),
        }
    }

    /// A scalar field of a message that came in several pieces.
    fn inner(&self, number: u32, kind: Kind, range: Range<usize>) -> Read<Option<Value<'a>>> {
        let mut found = None;
        for piece in self.pieces.get(range).unwrap_or_default() {
            found = last(piece.raw, number, kind.wire_type())?.or(found);
        }
        found.map(|raw| value::decode(kind, raw)).transpose()
    }

    fn paths(&self, range: Range<usize>) -> Read<Value<'a>> {
        let mut paths = Vec::new();
        for piece in self.pieces.get(range).unwrap_or_default() {
            let mut reader = Reader::new(piece.raw);
            while let Some((number, wire_type)) = reader.tag()? {
                let raw = raw_value(&mut reader, number, wire_type)?;
                if (number, wire_type) == (1, WireType::Delimited)
                    && let Value::Text(path) = value::decode(Kind::String, raw)?
                {
                    paths.push(path);
                }
            }
        }
        Ok(Value::Paths(paths))
    }
}

/// The last value of a field in one stretch of a message's content.
fn last(content: &[u8], number: u32, wire_type: WireType) -> Read<Option<&[u8]>> {
    let mut reader = Reader::new(content);
    let mut found = None;
    while let Some((other, found_type)) = reader.tag()? {
        let raw = raw_value(&mut reader, other, found_type)?;
        if (other, found_type) == (number, wire_type) {
            found = Some(raw);
        }
    }
    Ok(found)
}

// === impl ValueRules ===

impl ValueRules {
    fn is_active(&self) -> bool {
        !self.checks.is_empty() || self.ignore == Ignore::Always
    }
}
