//! Fields that must be present, and fields that exclude each other.

use std::collections::HashSet;

use descriptors::{FieldDef, Label, MessageDef, MessageId};
use validation::rules::{Constant, Ignore, OwnRules, Test};

use super::Document;
use super::components::Side;
use crate::options::{self, Behavior};
use crate::value::{Json, Object};

impl Document<'_> {
    pub(super) fn is_required(&self, id: MessageId, index: usize, definition: &FieldDef) -> bool {
        let plan = &self.types.message(id).fields[index];
        if self.side == Side::Response {
            return plan.is_required;
        }
        let by_rule = self.rules(id, index).is_some_and(|rules| {
            rules.is_required || plan.label != Label::Explicit && refuses_zero(rules)
        });
        by_rule || plan.is_required || options::field(definition).has(Behavior::Required)
    }

    /// At most one member of each oneof, at least one where a rule says so.
    pub(super) fn choices(
        &self,
        id: MessageId,
        definition: &MessageDef,
        without: &[usize],
        schema: &mut Object,
    ) {
        let plan = self.types.message(id);
        let mut groups = self.groups(id, definition);
        // A path may have set a member already, of which this schema knows nothing.
        groups.retain(|(members, _)| !members.iter().any(|member| without.contains(member)));
        let constraints: Vec<Object> = groups
            .iter()
            .filter(|(members, required)| members.len() > 1 || *required)
            .map(|(members, required)| {
                let names = members.iter().map(|at| self.property(&plan.fields[*at]));
                exclusive(names.collect(), *required)
            })
            .collect();
        match constraints.len() {
            0 => {}
            1 => constraints.into_iter().for_each(|only| schema.merge(only)),
            _ => schema.set("allOf", Json::list(constraints)),
        }
    }

    /// Returns the fields that exclude each other, and whether one of them must be set: oneofs, and
    /// choices that rules make.
    fn groups(&self, id: MessageId, definition: &MessageDef) -> Vec<(Vec<usize>, bool)> {
        let rules = self.schema.validation().rules().messages.get(id);
        let rules = rules.filter(|_| self.side == Side::Request);
        let required = rules.into_iter().flat_map(|rules| &rules.required_oneofs);
        let required: HashSet<&str> = required.map(|oneof| &*oneof.name).collect();
        let oneofs = definition.oneofs.iter().filter(|oneof| !oneof.is_synthetic);
        let mut groups: Vec<(Vec<usize>, bool)> = oneofs
            .map(|oneof| (Vec::new(), required.contains(&*oneof.name)))
            .collect();
        for (at, field) in self.types.message(id).fields.iter().enumerate() {
            let oneof = field.oneof.map(usize::from);
            if let Some((members, _)) = oneof.and_then(|oneof| groups.get_mut(oneof)) {
                members.push(at);
            }
        }
        let choices = rules.into_iter().flat_map(|rules| &rules.choices);
        groups.extend(choices.map(|choice| {
            let members = choice.members.iter().map(|member| *member as usize);
            (members.collect(), choice.is_required)
        }));
        groups
    }
}

/// Returns whether a field without presence can't be left out, as its zero breaks a rule.
fn refuses_zero(rules: &OwnRules) -> bool {
    let checks = rules.value.checks.iter().chain(&rules.count);
    let is_active = rules.value.ignore == Ignore::Never;
    is_active && checks.into_iter().any(|check| excludes_zero(&check.test))
}

fn excludes_zero(test: &Test) -> bool {
    let is_zero = |value: &Constant| match value {
        Constant::Bool(value) => !value,
        Constant::Int(value) => *value == 0,
        Constant::Real(value) => *value == 0.0,
        Constant::Bytes(value) => value.is_empty(),
    };
    match test {
        Test::Length(_, least, _) => *least > 0,
        Test::NotEmpty => true,
        Test::Matches { pattern, .. } => !pattern.is_match(b""),
        Test::Prefix(part) | Test::Suffix(part) | Test::Contains(part) => !part.is_empty(),
        Test::In(values) => !values.constants().iter().any(is_zero),
        Test::NotIn(values) => values.constants().iter().any(is_zero),
        Test::Within(bounds) if !bounds.exclude_the_middle() => match &bounds.lower {
            Some((Constant::Int(limit), true)) => *limit > 0,
            Some((Constant::Int(limit), false)) => *limit >= 0,
            Some((Constant::Real(limit), true)) => *limit > 0.0,
            Some((Constant::Real(limit), false)) => *limit >= 0.0,
            _ => false,
        },
        _ => false,
    }
}

/// At most one of the names, or exactly one. Twice negated, which means the same: generators of
/// code take a `oneOf` next to `properties` for a choice of types and make empty classes of it, and
/// pass over `not`.
fn exclusive(names: Vec<&str>, is_required: bool) -> Object {
    let has = |name: &&str| Object::new().with("required", Json::list([*name]));
    let mut choices: Vec<Object> = names.iter().map(has).collect();
    if !is_required {
        let none = Object::new().with("anyOf", Json::list(choices.clone()));
        choices.push(Object::new().with("not", none));
    }
    let one = Object::new().with("oneOf", Json::list(choices));
    Object::new().with("not", Object::new().with("not", one))
}
