//! The fast path: whether a message breaks nothing, found in one look at its bytes, without
//! gathering, sorting or a path to report. What it can't tell is left to the walk, which judges all
//! that is not plainly good: violations, what is malformed, and what protobuf merges or overwrites.
//! Fields may come in any order here, and in the usual one they are found without a search.

mod elements;

use descriptors::{FieldPlan, Kind, Label, MessageId, MessagePlan, Types};
use wire::{MAX_DEPTH, Reader};

use crate::check::compose::composed;
use crate::pieces::fit;
use crate::rules::cel::{CelRule, This};
use crate::rules::table::{FieldRules, Form, Ignore, MessageRules, Need, OwnRules, Rules};
use crate::rules::value::{self, Now, Value};

/// `None` where the walk must judge.
type Pass<T = ()> = Option<T>;

/// The state that all messages share.
pub(crate) struct Fast<'a> {
    pub(crate) types: &'a Types,
    pub(crate) rules: &'a Rules,
    pub(crate) now: &'a Now,
    /// Bytes of others: fields without rules are read too, as they may be malformed.
    pub(crate) is_foreign: bool,
    /// Text must not hold U+0000, in any field.
    pub(crate) refuses_nul: bool,
}

/// A message on the way down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    depth: usize,
    /// Whether rules apply.
    judges: bool,
}

// === impl Fast ===

impl Fast<'_> {
    /// Returns whether a message is well formed and breaks no rule; if not, or if that is hard to
    /// say, returns false.
    pub(crate) fn passes(&self, id: MessageId, wire: &[u8]) -> bool {
        let root = Level {
            depth: 0,
            judges: true,
        };
        self.message(id, wire, root).is_some()
    }

    fn visits_all(&self) -> bool {
        self.is_foreign || self.refuses_nul
    }

    fn message(&self, id: MessageId, content: &[u8], place: Level) -> Pass {
        let rules = self.rules.messages.get(id)?;
        let judges = place.judges && rules.need.meets(Need::RULES);
        if !judges && !self.visits_all() {
            return Some(());
        }
        if place.depth >= MAX_DEPTH {
            return None;
        }
        let plan = self.types.message(id);
        let place = Level { judges, ..place };
        if judges {
            self.judged(plan, rules, content, place)?;
            let pieces = [content];
            let this = This::Message(id, &pieces);
            let breaks = |rule: &CelRule| rule.judge(self.types, this, self.now).is_some();
            (!rules.cel.iter().any(breaks)).then_some(())
        } else {
            self.unjudged(plan, content, place)
        }
    }

    fn judged(
        &self,
        plan: &MessagePlan,
        rules: &MessageRules,
        content: &[u8],
        place: Level,
    ) -> Pass {
        let marks = rules.marks.as_ref()?;
        let (mut set, mut guess) = (0, 0);
        let mut reader = Reader::new(content);
        while let Some(tag) = next(plan, guess, &mut reader)? {
            let Tagged { index, is_run } = tag;
            let (field, own) = (plan.fields.get(index)?, rules.fields.get(index)?);
            guess = index + 1;
            if !own.collect.meets(Need::RULES) {
                self.unruled(field, is_run, &mut reader, place)?;
                continue;
            }
            if set & own.rivals != 0 {
                return None;
            }
            if self.field(field, own, is_run, &mut reader, place)? {
                set |= own.bit;
            }
        }
        marks.hold(set).then_some(())
    }

    /// Checks a message without rules for being well formed.
    fn unjudged(&self, plan: &MessagePlan, content: &[u8], place: Level) -> Pass {
        let mut guess = 0;
        let mut reader = Reader::new(content);
        while let Some(Tagged { index, is_run }) = next(plan, guess, &mut reader)? {
            self.unruled(plan.fields.get(index)?, is_run, &mut reader, place)?;
            guess = index + 1;
        }
        Some(())
    }

    fn unruled(
        &self,
        field: &FieldPlan,
        is_run: bool,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass {
        let reads = self.visits_all() && (is_run || is_inspected(field.kind));
        if !reads {
            return reader.skip(field.number, field.wire_type(is_run)).ok();
        }
        let place = Level {
            judges: false,
            ..place
        };
        if is_run {
            let mut run = Reader::new(reader.delimited().ok()?);
            while !run.rest.is_empty() {
                value::number(field.kind, &mut run).ok()?;
            }
            return Some(());
        }
        match field.kind {
            Kind::String => self.text(reader).map(drop),
            _ => self.value(field, Form::Opaque, reader, place).map(drop),
        }
    }

    /// Returns whether the field counts as set.
    #[inline]
    fn field(
        &self,
        field: &FieldPlan,
        rules: &FieldRules,
        is_run: bool,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass<bool> {
        let own = rules.own.as_deref();
        let is_ignored = own.is_some_and(|own| own.value.ignore == Ignore::Always);
        let own = own.filter(|_| !is_ignored);
        let place = Level {
            judges: !is_ignored,
            ..place
        };
        match field.label {
            Label::Map => self.map(field, own, reader, place),
            Label::Repeated | Label::Packed => self.list(field, own, is_run, reader, place),
            _ => self.singular(field, own, reader, place),
        }
    }

    #[inline]
    fn singular(
        &self,
        field: &FieldPlan,
        own: Option<&OwnRules>,
        reader: &mut Reader<'_>,
        place: Level,
    ) -> Pass<bool> {
        let is_implicit = field.label == Label::Implicit;
        let rules = own.map(|own| &own.value);
        if field.kind == Kind::String {
            let text = self.text(reader)?;
            if is_implicit && text.is_empty() {
                return Some(false);
            }
            let holds = rules.is_none_or(|rules| rules.hold_text(text, self.now));
            return holds.then_some(true);
        }
        if is_int(field.kind) {
            let number = value::int(field.kind, reader)?;
            if is_implicit && number == 0 {
                return Some(false);
            }
            let holds = rules.is_none_or(|rules| rules.hold_int(number, self.now));
            return holds.then_some(true);
        }
        let form = rules.map_or(Form::Opaque, |rules| rules.form);
        let value = self.value(field, form, reader, place)?;
        if is_implicit && value.is_default() {
            return Some(false);
        }
        let holds = rules.is_none_or(|rules| rules.hold(&value, self.now));
        holds.then_some(true)
    }

    /// Reads a value whose tag is read, and all that is below it.
    #[inline]
    fn value<'w>(
        &self,
        field: &FieldPlan,
        form: Form,
        reader: &mut Reader<'w>,
        place: Level,
    ) -> Pass<Value<'w>> {
        let (id, content) = match field.kind {
            Kind::String => return self.text(reader).map(Value::Text),
            Kind::Bytes => return reader.delimited().ok().map(Value::Bytes),
            Kind::Message(id) => (id, reader.delimited().ok()?),
            Kind::Group(id) => (id, reader.group(field.number).ok()?),
            kind => return value::number(kind, reader).ok(),
        };
        let depth = place.depth + 1;
        self.message(id, content, Level { depth, ..place })?;
        match form {
            Form::Scalar | Form::Opaque => Some(Value::Nothing),
            _ => composed(form, std::iter::once(content)).ok(),
        }
    }

    #[inline]
    fn text<'w>(&self, reader: &mut Reader<'w>) -> Pass<&'w [u8]> {
        let text = reader.delimited().ok()?;
        let is_fine = (!self.is_foreign || simdutf8::basic::from_utf8(text).is_ok())
            && (!self.refuses_nul || memchr::memchr(0, text).is_none());
        is_fine.then_some(text)
    }
}

/// A known field whose tag is read.
struct Tagged {
    index: usize,
    /// Several numbers in one run.
    is_run: bool,
}

/// Reads the next tag of a known field, and passes over unknown ones; the field at `guess` is tried
/// first.
#[inline(always)]
fn next(plan: &MessagePlan, guess: usize, reader: &mut Reader<'_>) -> Pass<Option<Tagged>> {
    if let Some(field) = plan.fields.get(guess)
        && let Some(rest) = field.tag.strip(reader.rest)
    {
        reader.rest = rest;
        return Some(Some(Tagged {
            index: guess,
            is_run: field.label == Label::Packed,
        }));
    }
    search(plan, reader)
}

fn search(plan: &MessagePlan, reader: &mut Reader<'_>) -> Pass<Option<Tagged>> {
    while let Some((number, wire_type)) = reader.tag().ok()? {
        match plan.by_number(number) {
            Some(index) => {
                let is_run = fit(plan.fields.get(index)?, wire_type)?;
                return Some(Some(Tagged { index, is_run }));
            }
            None => reader.skip(number, wire_type).ok()?,
        }
    }
    Some(None)
}

/// Returns whether values are whole numbers that fit an `i64`.
fn is_int(kind: Kind) -> bool {
    match kind {
        Kind::Double | Kind::Float | Kind::Bool | Kind::Uint64 | Kind::Fixed64 => false,
        kind => kind.is_packable(),
    }
}

/// Returns whether a single value of this kind can be malformed or hold text, beyond being cut off.
fn is_inspected(kind: Kind) -> bool {
    kind == Kind::String || matches!(kind, Kind::Message(_) | Kind::Group(_))
}
