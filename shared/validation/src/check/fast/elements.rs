//! Lists and maps on the fast path.

use descriptors::{FieldPlan, Kind, follows};
use wire::{MAX_DEPTH, Reader};

use super::{Fast, Level, Pass};
use crate::check::compose::{composed, last};
use crate::rules::distinct::Distinct;
use crate::rules::table::{Check, Form, Ignore, OwnRules, Test, Unit, ValueRules};
use crate::rules::value::{self, Value};

/// A list while it is read.
#[derive(Default)]
struct Tally<'w> {
    count: u64,
    values: Distinct<'w>,
}

// === impl Fast ===

impl Fast<'_> {
    /// Reads all elements that follow each other; returns whether there are any.
    pub(crate) fn list(
        &self,
        field: &FieldPlan,
        own: Option<&OwnRules>,
        mut is_run: bool,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass<bool> {
        let mut tally = Tally::default();
        loop {
            if is_run {
                let mut run = Reader::new(reader.delimited().ok()?);
                while !run.rest.is_empty() {
                    self.element(field, own, &mut run, place, &mut tally)?;
                }
            } else {
                self.element(field, own, reader, place, &mut tally)?;
            }
            match follows(field, reader) {
                Some(next) => is_run = next,
                None => break,
            }
        }
        let count = Value::Count(tally.count);
        let is_set = tally.count > 0;
        let holds = !is_set || own.is_none_or(|own| self.holds(&own.count, &count));
        holds.then_some(is_set)
    }

    fn element<'w>(
        &self,
        field: &FieldPlan,
        own: Option<&OwnRules>,
        reader: &mut Reader<'w>,
        place: Level,
        tally: &mut Tally<'w>,
    ) -> Pass {
        tally.count += 1;
        let Some(own) = own else {
            return self.value(field, Form::Opaque, reader, place).map(drop);
        };
        if own.unique.is_none() {
            return self.item(field, &own.items, reader, place);
        }
        let value = self.item_value(field, &own.items, reader, place)?;
        if !value.is_nan() && !tally.values.insert(value.identity()) {
            return None;
        }
        Some(())
    }

    /// Checks an item, or a key or value of a map, whose tag has been read.
    fn item(
        &self,
        field: &FieldPlan,
        rules: &ValueRules,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass {
        if field.kind == Kind::String {
            let text = self.text(reader)?;
            let keeps = rules.hold_text(text, self.now) || rules.passes_over(&Value::Text(text));
            return keeps.then_some(());
        }
        self.item_value(field, rules, reader, place).map(drop)
    }

    fn item_value<'w>(
        &self,
        field: &FieldPlan,
        rules: &ValueRules,
        reader: &mut Reader<'w>,
        place: Level,
    ) -> Pass<Value<'w>> {
        let judges = place.judges && rules.ignore != Ignore::Always;
        let value = self.value(field, rules.form, reader, Level { judges, ..place })?;
        self.keeps(rules, &value).then_some(value)
    }

    fn keeps(&self, rules: &ValueRules, value: &Value<'_>) -> bool {
        rules.hold(value, self.now) || rules.passes_over(value)
    }

    fn holds(&self, checks: &[Check], value: &Value<'_>) -> bool {
        checks.iter().all(|check| check.test.holds(value, self.now))
    }

    /// Reads all entries that follow each other; there is at least one.
    pub(crate) fn map(
        &self,
        field: &FieldPlan,
        own: Option<&OwnRules>,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass<bool> {
        let entry = self.types.message(field.message()?);
        let [key, value] = entry.fields.as_slice() else {
            return None;
        };
        let is_idle = ValueRules::default();
        let (keys, items) = own.map_or((&is_idle, &is_idle), |own| (&own.keys, &own.items));
        // An entry is a message on the wire and none in the contract: only what reads the wire
        // counts it.
        let depth = place.depth + usize::from(self.is_foreign);
        if depth >= MAX_DEPTH {
            return None;
        }
        let place = Level { depth, ..place };
        let counts_keys = own.is_some_and(|own| own.count.iter().any(counts_keys));
        let mut distinct = Distinct::default();
        let mut count = 0;
        loop {
            let content = reader.delimited().ok()?;
            self.entry([key, value], [keys, items], content, place)?;
            if counts_keys {
                distinct.insert(key_of(key, content)?.identity());
                count = distinct.len() as u64;
            } else {
                count += 1;
            }
            if follows(field, reader).is_none() {
                break;
            }
        }
        let holds = own.is_none_or(|own| self.holds(&own.count, &Value::Count(count)));
        holds.then_some(true)
    }

    /// Reads an entry in the usual order, the key before the value. Either may be absent.
    fn entry(
        &self,
        [key_field, value_field]: [&FieldPlan; 2],
        [keys, items]: [&ValueRules; 2],
        content: &[u8],
        place: Level,
    ) -> Pass {
        let mut entry = Reader::new(content);
        match key_field.tag.strip(entry.rest) {
            Some(rest) => {
                entry.rest = rest;
                self.item(key_field, keys, &mut entry, place)?;
            }
            None => self.absent(key_field, keys, place)?,
        }
        match value_field.tag.strip(entry.rest) {
            Some(rest) => {
                entry.rest = rest;
                self.item(value_field, items, &mut entry, place)?;
            }
            None => self.absent(value_field, items, place)?,
        }
        entry.rest.is_empty().then_some(())
    }

    /// Checks an absent key or value, which counts as present: it is the default, a
    /// message is empty.
    fn absent(&self, field: &FieldPlan, rules: &ValueRules, place: Level) -> Pass {
        let value = match field.message() {
            None => value::default(field.kind),
            Some(id) => {
                let judges = place.judges && rules.ignore != Ignore::Always;
                let depth = place.depth + 1;
                self.message(id, &[], Level { depth, judges })?;
                composed(rules.form, std::iter::once(&[][..])).ok()?
            }
        };
        self.keeps(rules, &value).then_some(())
    }
}

/// Returns the key of an entry that was read.
fn key_of<'w>(field: &FieldPlan, content: &'w [u8]) -> Pass<Value<'w>> {
    match last(content, field.number, field.kind.wire_type()).ok()? {
        Some(raw) => value::decode(field.kind, raw).ok(),
        None => Some(value::default(field.kind)),
    }
}

/// Returns whether two entries of one key must be told from two keys: too many entries may be few
/// keys, which the walk finds out, but enough entries may be too few keys.
fn counts_keys(check: &Check) -> bool {
    matches!(check.test, Test::Length(Unit::Elements, min, _) if min > 1)
}
