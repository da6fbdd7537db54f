//! Lists and maps: how many elements there are, and each of them.

use descriptors::{FieldPlan, Kind};
use smallvec::SmallVec;
use wire::{Read, Reader};

use super::{Group, NO_NUL, Place, Walk};
use crate::check::compose::last;
use crate::pieces::{Elements, Piece};
use crate::rules::cel::This;
use crate::rules::distinct::Distinct;
use crate::rules::table::{Ignore, Need, OwnRules, ValueRules};
use crate::rules::value::{self, Value};
use crate::violations::Origin;

/// The entries of a map that count, each with its key.
type Entries<'a> = SmallVec<[(&'a [u8], Value<'a>); 8]>;

// === impl Walk ===

impl<'a> Walk<'a> {
    pub(crate) fn list(
        &mut self,
        group: &Group<'a>,
        rules: Option<&'a OwnRules>,
        place: Place<'_>,
    ) -> Read<()> {
        if let Some(rules) = rules {
            let count = self.count(group)?;
            let is_passed = count == 0 && rules.value.ignore == Ignore::IfZero;
            if count == 0 && rules.is_required {
                self.required(rules, place.path);
                return Ok(());
            }
            if !is_passed {
                self.checks(&rules.count, &Value::Count(count), place.path, false);
                self.field_cel(group, &rules.value.cel, place.path);
            }
            if let Some(unique) = &rules.unique
                && !self.is_unique(group, count)?
            {
                self.broken(unique, place.path, Origin::default());
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

    /// One item of a list, as one piece.
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
            let occurrences = [(raw, false)];
            let this = This::Item(field.kind, &occurrences);
            self.value_rules(rules, &value, this, place.path);
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

    fn is_unique(&self, group: &Group<'a>, count: u64) -> Read<bool> {
        let kind = group.field.kind;
        if count < 2 {
            return Ok(true);
        }
        let mut values = Distinct::default();
        for piece in self.pieces.get(group.range.clone()).unwrap_or_default() {
            for element in Elements::new(*piece, kind) {
                let value = value::decode(kind, element?)?;
                if !value.is_nan() && !values.insert(value.identity()) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    pub(crate) fn map(
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
                self.required(rules, place.path);
                return Ok(());
            }
            if !entries.is_empty() || rules.value.ignore != Ignore::IfZero {
                let count = Value::Count(entries.len() as u64);
                self.checks(&rules.count, &count, place.path, false);
                self.field_cel(group, &rules.value.cel, place.path);
            }
        }
        for (content, key) in entries {
            let path = match group.rules.is_confidential {
                true => place.path.hidden_key(),
                false => place.path.key(&key),
            };
            let place = Place {
                path: &path,
                ..place
            };
            self.entry(content, (key_field, &key), value_field, rules, place)?;
        }
        Ok(())
    }

    /// Returns the entries with their keys. The last of several with one key wins.
    fn entries(&self, group: &Group<'a>, key_kind: Kind) -> Read<Entries<'a>> {
        let pieces = self.pieces.get(group.range.clone()).unwrap_or_default();
        let mut entries = Entries::with_capacity(pieces.len());
        let mut keys = Distinct::default();
        // From the end, so that the first one found is the one that counts.
        for piece in pieces.iter().rev() {
            let key = last(piece.raw, 1, key_kind.wire_type())?;
            let key = key.map_or(Ok(value::default(key_kind)), |raw| {
                value::decode(key_kind, raw)
            })?;
            if keys.insert(key.identity()) {
                entries.push((piece.raw, key));
            }
        }
        entries.reverse();
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
            let this = This::Key(key_field.kind, key);
            self.value_rules(&rules.keys, key, this, place.path);
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
            let raw = reader.value(number, wire_type)?;
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
            let occurrences = match rules.cel.is_empty() {
                true => Vec::new(),
                false => self.occurrences(range.clone()),
            };
            let this = This::Item(value_field.kind, &occurrences);
            self.value_rules(rules, &value, this, place.path);
            if rules.ignore == Ignore::Always {
                need = need.and(Need::TEXT);
            }
        }
        self.inside(value_field, range, Place { need, ..place })?;
        self.pieces.truncate(base);
        Ok(())
    }
}
