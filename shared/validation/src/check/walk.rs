//! Walks wire bytes in place and reports what breaks a rule.

mod elements;
mod values;

use std::ops::Range;

use descriptors::{FieldPlan, Kind, Label, MessageId, MessagePlan, Types};
use wire::{MAX_DEPTH, Read, TOO_DEEP, WireError};

use crate::check::path::Path;
use crate::pieces::{self, Piece, Pieces};
use crate::rules::cel::{CelRule, This};
use crate::rules::table::{
    Check, Choice, FieldRules, Ignore, MessageRules, Need, OwnRules, Rules, ValueRules,
};
use crate::rules::value::{Now, Value};
use crate::violations::{Origin, Violations};

const NO_NUL: (&str, &str) = ("string.no_nul", "must not contain U+0000");
const REQUIRED: (&str, &str) = ("required", "value is required");

/// One walk over one message.
pub(crate) struct Walk<'a> {
    types: &'a Types,
    rules: &'a Rules,
    now: &'a Now,
    pieces: Pieces<'a>,
    found: Violations,
}

/// A message on the way down.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    path: &'p Path<'p>,
    need: Need,
    depth: usize,
}

/// A field of it, with all its pieces.
pub(crate) struct Group<'a> {
    field: &'a FieldPlan,
    rules: &'a FieldRules,
    range: Range<usize>,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Returns the violations of a message of type `id`.
    pub(crate) fn run(
        types: &'a Types,
        rules: &'a Rules,
        id: MessageId,
        wire: &'a [u8],
        need: Need,
        now: &'a Now,
    ) -> Read<Violations> {
        let mut walk = Walk {
            types,
            rules,
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

    /// Walks the message whose content is the concatenation of all pieces in `range`.
    fn message(&mut self, id: MessageId, range: Range<usize>, place: Place<'_>) -> Read<()> {
        let Some(rules) = self.rules.messages.get(id) else {
            return Ok(());
        };
        if !rules.need.meets(place.need) {
            return Ok(());
        }
        if place.depth >= MAX_DEPTH {
            return Err(WireError::new(TOO_DEEP));
        }
        let plan = self.types.message(id);
        if place.need.meets(Need::RULES) && !rules.cel.is_empty() {
            let pieces: Vec<&[u8]> = range.clone().map(|index| self.piece(index).raw).collect();
            self.cel(&rules.cel, This::Message(id, &pieces), place.path, false);
        }
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
            let path = place.path.field(&field.shown_name);
            let place = Place {
                path: &path,
                ..place
            };
            self.field(&group, place)
                .map_err(|error| error.in_field(&field.shown_name))?;
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

    /// Returns whether the field counts as present.
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
        // Ignored fields are stored like all others, so that their text is inspected, too.
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
        let mut is_set = !group.range.is_empty();
        if let Some(rules) = rules {
            let value = self.value(field.kind, rules.value.form, group.range.clone())?;
            is_set &= field.label != Label::Implicit || !value.is_default();
            let is_optional =
                field.label != Label::Implicit || rules.value.ignore == Ignore::IfZero;
            match is_set {
                false if rules.is_required => self.required(rules, place.path),
                false if is_optional => {}
                _ => {
                    self.checks(&rules.value.checks, &value, place.path, false);
                    self.field_cel(group, &rules.value.cel, place.path);
                }
            }
        }
        if is_set {
            self.inside(field, group.range.clone(), place)?;
        }
        Ok(())
    }

    /// Walks below a value: its text, or the fields of its message.
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

    /// Checks of an item, a key or a value of a map: always set, but perhaps passed over.
    fn value_rules(
        &mut self,
        rules: &ValueRules,
        value: &Value<'_>,
        this: This<'_>,
        path: &Path<'_>,
    ) {
        if !rules.passes_over(value) {
            let is_of_key = matches!(this, This::Key(..));
            self.checks(&rules.checks, value, path, is_of_key);
            self.cel(&rules.cel, this, path, is_of_key);
        }
    }

    fn checks(&mut self, checks: &[Check], value: &Value<'_>, path: &Path<'_>, is_of_key: bool) {
        for check in checks {
            if !check.test.holds(value, self.now) {
                let origin = Origin {
                    is_of_key,
                    has_no_result: check.test.has_no_result(value),
                    ..Origin::default()
                };
                self.broken(check, path, origin);
            }
        }
    }

    fn broken(&mut self, check: &Check, path: &Path<'_>, origin: Origin) {
        let origin = || Origin {
            rule: check.path.clone(),
            ..origin
        };
        self.found
            .add(|| path.text(), &check.id, &check.text, origin);
    }

    /// Judges a whole field by its rules in CEL.
    fn field_cel(&mut self, group: &Group<'a>, rules: &[CelRule], path: &Path<'_>) {
        if rules.is_empty() {
            return;
        }
        let occurrences = self.occurrences(group.range.clone());
        self.cel(rules, This::Field(group.field, &occurrences), path, false);
    }

    fn occurrences(&self, range: Range<usize>) -> Vec<cel::Occurrence<'a>> {
        let pieces = self.pieces.get(range).unwrap_or_default();
        pieces
            .iter()
            .map(|piece| (piece.raw, piece.is_packed))
            .collect()
    }

    fn cel(&mut self, rules: &[CelRule], this: This<'_>, path: &Path<'_>, is_of_key: bool) {
        for rule in rules {
            if let Some(finding) = rule.judge(self.types, this, self.now) {
                let origin = || Origin {
                    rule: rule.path.clone(),
                    is_of_key,
                    has_no_result: finding.has_no_result,
                };
                self.found
                    .add(|| path.text(), &rule.id, &finding.text, origin);
            }
        }
    }

    fn required(&mut self, rules: &OwnRules, path: &Path<'_>) {
        let origin = || Origin {
            rule: rules.required_path.clone(),
            ..Origin::default()
        };
        self.found
            .add(|| path.text(), REQUIRED.0, REQUIRED.1, origin);
    }

    fn report(&mut self, path: &Path<'_>, rule: &str, message: &str) {
        self.found
            .add(|| path.text(), rule, message, Origin::default);
    }
}
