//! The questions of the fast path about the fields of one message, as bits: which must be set, and
//! which exclude each other.

use descriptors::{FieldPlan, Label, MessagePlan};

use super::table::{Check, Ignore, MessageRules, OwnRules};
use super::value::{self, Value};

/// Sets of fields, one bit for each inspected field.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Fields of which absence breaks a rule.
    must: u128,
    /// Sets of which one field must be set.
    any: Box<[u128]>,
    /// Sets of which at most one field may be set.
    single: Box<[u128]>,
}

/// Gives the fields of a message their bits; not if there are more of them than bits.
pub(crate) fn mark(plan: &MessagePlan, rules: &mut MessageRules) {
    // Rules in CEL of fields and elements need the values as a whole, which the walk has.
    let has_cel = rules
        .fields
        .iter()
        .filter_map(|field| field.own.as_deref())
        .any(has_cel);
    if has_cel || rules.active.len() > u128::BITS as usize {
        return;
    }
    for (place, index) in rules.active.iter().enumerate() {
        if let Some(field) = rules.fields.get_mut(*index as usize) {
            field.bit = 1 << place;
        }
    }
    let must = (rules.fields.iter().zip(&plan.fields))
        .filter(|(own, field)| breaks_when_absent(field, own.own.as_deref()))
        .fold(0, |must, (own, _)| must | own.bit);
    let rivals: Vec<u128> = plan
        .fields
        .iter()
        .enumerate()
        .map(|(index, field)| rivals(plan, rules, index, field))
        .collect();
    for (own, rivals) in rules.fields.iter_mut().zip(rivals) {
        own.rivals = rivals;
    }
    let of = |members: &[u32]| {
        let members = members.iter().map(|member| bit(rules, *member as usize));
        members.fold(0, |set, bit| set | bit)
    };
    let oneofs = rules.required_oneofs.iter();
    let choices = rules.choices.iter();
    let required = choices.clone().filter(|choice| choice.is_required);
    let any = oneofs
        .map(|oneof| of(&oneof.members))
        .chain(required.map(|choice| of(&choice.members)));
    rules.marks = Some(Marks {
        must,
        any: any.collect(),
        single: choices.map(|choice| of(&choice.members)).collect(),
    });
}

fn has_cel(own: &OwnRules) -> bool {
    [&own.value, &own.items, &own.keys]
        .iter()
        .any(|rules| !rules.cel.is_empty())
}

fn bit(rules: &MessageRules, index: usize) -> u128 {
    rules.fields.get(index).map_or(0, |field| field.bit)
}

/// Returns whether a second part of a list changes the answer: only if its elements are counted.
/// Otherwise its parts may come as they like.
fn rivals(plan: &MessagePlan, rules: &MessageRules, index: usize, field: &FieldPlan) -> u128 {
    let own = rules.fields.get(index).and_then(|own| own.own.as_deref());
    let is_counted = own.is_some_and(|own| !own.count.is_empty() || own.unique.is_some());
    let mut rivals = 0;
    if field.is_singular() || is_counted {
        rivals |= bit(rules, index);
    }
    if field.oneof.is_some() {
        let members = plan.fields.iter().enumerate();
        for (member, _) in members.filter(|(_, other)| other.oneof == field.oneof) {
            rivals |= bit(rules, member);
        }
    }
    rivals
}

fn breaks_when_absent(field: &FieldPlan, own: Option<&OwnRules>) -> bool {
    let Some(own) = own.filter(|own| own.value.ignore != Ignore::Always) else {
        return false;
    };
    let breaks = |checks: &[Check], value: &Value<'_>| {
        let never = value::Now::default();
        !checks.iter().all(|check| check.test.holds(value, &never))
    };
    match (own.is_required, own.value.ignore, field.label) {
        (true, ..) => true,
        (_, Ignore::IfZero, _) | (_, _, Label::Explicit) => false,
        (_, _, Label::Implicit) => breaks(&own.value.checks, &value::default(field.kind)),
        _ => breaks(&own.count, &Value::Count(0)),
    }
}

// === impl Marks ===

impl Marks {
    /// Returns whether nothing is missing, and nothing too much.
    #[inline]
    pub(crate) fn hold(&self, set: u128) -> bool {
        set & self.must == self.must
            && self.any.iter().all(|members| set & members != 0)
            && self
                .single
                .iter()
                .all(|members| (set & members).count_ones() <= 1)
    }
}
