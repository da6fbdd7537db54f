//! Fields that must be present, and fields that exclude each other.

use std::collections::HashSet;

use descriptors::{FieldDef, FieldPlan, Kind, Label, MessageDef, MessageId, Shape};

use super::Document;
use super::components::Side;
use crate::options::{self, Behavior};
use crate::rules::refuses_zero;
use crate::scalars::{Look, look};
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
        let groups = self.open_groups(id, definition, without);
        let constraints: Vec<Object> = groups
            .iter()
            .filter(|(members, required)| members.len() > 1 || *required)
            .map(|(members, required)| {
                let set = members.iter().map(|at| self.is_set(&plan.fields[*at]));
                exclusive(set.collect(), *required)
            })
            .collect();
        match constraints.len() {
            0 => {}
            1 => constraints.into_iter().for_each(|only| schema.merge(only)),
            _ => schema.set("allOf", Json::list(constraints)),
        }
    }

    /// Returns the schema of objects in which a field is set: `null` is the absence of most values,
    /// and so is the zero of a field without presence.
    fn is_set(&self, field: &FieldPlan) -> Object {
        let name = self.property(field);
        let mut unset: Vec<Json> = Vec::new();
        if !self.takes_null(field.kind) {
            unset.push(Json::Raw("null".into()));
        }
        if field.label == Label::Implicit {
            unset.extend(self.zeros(field.kind));
        }
        let is_set = Object::new().with("required", Json::list([name]));
        if self.side == Side::Response || unset.is_empty() {
            return is_set;
        }
        let value = Object::new().with("not", Object::new().with("enum", unset));
        is_set.with("properties", Object::new().with(name, value))
    }

    /// Returns whether `null` is a value of the type, and not the absence of one.
    fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Enum(id) => self.types.enums.get(id).is_some_and(|found| found.is_null),
            Kind::Message(id) => self.types.message(id).shape == Shape::Value,
            _ => false,
        }
    }

    /// Excludes the values that count as the absence of a field which must be there.
    pub(super) fn exclude_absence(&self, field: &FieldPlan, schema: &mut Object) {
        let least = match (field.label, look(field.kind)) {
            (Label::Map, _) => "minProperties",
            (Label::Repeated | Label::Packed, _) => "minItems",
            (Label::Implicit, Look::Text | Look::Bytes) => "minLength",
            (Label::Implicit, _) => {
                let zeros = self.zeros(field.kind);
                return schema.set("not", Object::new().with("enum", zeros));
            }
            (Label::Explicit, _) => return,
        };
        if schema.get(least).is_none() {
            schema.set(least, 1);
        }
    }

    /// Returns the zero of a scalar, in the forms that it may have.
    fn zeros(&self, kind: Kind) -> Vec<Json> {
        match (look(kind), kind) {
            (Look::Number, _) => vec![0.into()],
            (Look::Digits(_), _) => vec!["0".into(), 0.into()],
            (Look::Text | Look::Bytes, _) => vec!["".into()],
            (Look::Bool, _) => vec![false.into()],
            (_, Kind::Enum(id)) => {
                let plan = self.types.enums.get(id);
                let mut name = Vec::new();
                if let Some(quoted) = plan.and_then(|plan| plan.quoted_name(0)) {
                    quoted.put(&mut name);
                }
                let name = String::from_utf8(name).unwrap_or_default();
                let name = Some(name).filter(|name| !name.is_empty());
                let name = name.map(|name| Json::Raw(name.into()));
                name.into_iter().chain([0.into()]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns whether the message can't be left out: a field or a choice is required that is not
    /// among `without`.
    pub(super) fn has_required_fields(&self, id: MessageId, without: &[usize]) -> bool {
        let plan = self.types.message(id);
        let is_required = |field: &FieldDef| {
            let index = plan.by_number(field.number);
            let index = index.filter(|index| !without.contains(index));
            index.is_some_and(|index| self.is_required(id, index, field))
        };
        let mut groups = self
            .open_groups(id, self.pool.message(id), without)
            .into_iter();
        self.fields(id).any(is_required) || groups.any(|(_, is_required)| is_required)
    }

    /// Returns the [`Document::groups`] without those of which a path has set a member already.
    fn open_groups(
        &self,
        id: MessageId,
        definition: &MessageDef,
        without: &[usize],
    ) -> Vec<(Vec<usize>, bool)> {
        let mut groups = self.groups(id, definition);
        groups.retain(|(members, _)| !members.iter().any(|member| without.contains(member)));
        groups
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

/// At most one of the choices, or exactly one. Twice negated, which means the same: generators of
/// code take a `oneOf` next to `properties` for a choice of types and make empty classes of it, and
/// pass over `not`.
fn exclusive(mut choices: Vec<Object>, is_required: bool) -> Object {
    if !is_required {
        let none = Object::new().with("anyOf", Json::list(choices.clone()));
        choices.push(Object::new().with("not", none));
    }
    let one = Object::new().with("oneOf", Json::list(choices));
    Object::new().with("not", Object::new().with("not", one))
}
