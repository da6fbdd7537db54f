//! Fields of one message, old and new, as senders and receivers know them: by number on the wire,
//! by name in JSON.

use std::collections::BTreeSet;

use descriptors::{FieldPlan, Kind, Label, MessageId, MessagePlan};

use super::{Breakage, BreakingChange, Comparison, Direction, Pair, Side};

impl Comparison<'_> {
    pub(super) fn messages(&mut self, old: MessageId, new: MessageId, direction: Direction) {
        let (before, after) = (self.before.contract, self.after.contract);
        let (old_plan, new_plan) = (before.types.message(old), after.types.message(new));
        for field in &old_plan.fields {
            match new_plan.by_number(field.number) {
                Some(index) => {
                    let found = &new_plan.fields[index];
                    self.field(new, field, found, direction);
                    let changed = oneof_change(old_plan, new_plan, field, found);
                    if let Some((was, is)) = changed {
                        self.field_change(new, field, Breakage::FieldOneof, was, is);
                    }
                    self.descend(field.kind, found.kind, direction);
                }
                None => self.missing(new, new_plan, field),
            }
        }
        let is_new = |field: &&FieldPlan| old_plan.by_number(field.number).is_none();
        if direction == Direction::Request {
            for field in new_plan.fields.iter().filter(is_new) {
                if field.is_required {
                    self.field_change(new, field, Breakage::FieldRequired, "absent", "required");
                }
            }
            self.validation(old, new);
        }
    }

    fn field(&mut self, id: MessageId, old: &FieldPlan, new: &FieldPlan, direction: Direction) {
        if (&old.name, &old.json_name) != (&new.name, &new.json_name) {
            let name = |field: &FieldPlan| format!("{} (JSON {})", field.name, field.json_name);
            self.field_change(id, old, Breakage::FieldName, name(old), name(new));
        }
        if cardinality(old) != cardinality(new) {
            let (was, is) = (cardinality(old), cardinality(new));
            self.field_change(id, old, Breakage::FieldCardinality, was, is);
        } else if old.label != Label::Map {
            // The entries of a map are compared as messages.
            let (was, is) = (
                self.before.type_name(old.kind),
                self.after.type_name(new.kind),
            );
            if was != is {
                self.field_change(id, old, Breakage::FieldType, was, is);
            }
        }
        let is_broken = match direction {
            Direction::Request => new.is_required && !old.is_required,
            Direction::Response => old.is_required && !new.is_required,
        };
        if is_broken {
            let text = |field: &FieldPlan| {
                if field.is_required {
                    "required"
                } else {
                    "optional"
                }
            };
            self.field_change(id, old, Breakage::FieldRequired, text(old), text(new));
        }
    }

    /// A field whose number the new message does not have.
    fn missing(&mut self, id: MessageId, new: &MessagePlan, old: &FieldPlan) {
        if let Some(moved) = new.fields.iter().find(|field| field.name == old.name) {
            let (was, is) = (old.number.to_string(), moved.number.to_string());
            self.field_change(id, old, Breakage::FieldNumber, was, is);
            return;
        }
        let reserved = &self.after.pool.messages[id].reserved;
        if reserved.has_number(old.number.into()) && reserved.has_name(&old.name) {
            return;
        }
        let was = format!("{} = {}", old.name, old.number);
        self.field_change(
            id,
            old,
            Breakage::FieldRemoved,
            was,
            "neither present nor reserved",
        );
    }

    /// Types that replace each other are not compared: the change of type is reported.
    fn descend(&mut self, old: Kind, new: Kind, direction: Direction) {
        match (old, new) {
            (Kind::Message(old), Kind::Message(new)) | (Kind::Group(old), Kind::Group(new)) => {
                self.visit(Pair::Messages(old, new, direction));
            }
            (Kind::Enum(old), Kind::Enum(new)) => self.visit(Pair::Enums(old, new)),
            _ => {}
        }
    }

    fn field_change(
        &mut self,
        id: MessageId,
        field: &FieldPlan,
        rule: Breakage,
        before: impl Into<String>,
        after: impl Into<String>,
    ) {
        let change = change(&self.after, id, &field.name, rule, before, after);
        self.report(change);
    }
}

/// Returns a change at a field or a oneof of the new message `id`.
pub(super) fn change(
    side: &Side<'_>,
    id: MessageId,
    name: &str,
    rule: Breakage,
    before: impl Into<String>,
    after: impl Into<String>,
) -> BreakingChange {
    let message = &side.pool.messages[id];
    BreakingChange {
        file: side.file(&message.source),
        element: format!("{}.{name}", message.name),
        rule,
        before: before.into(),
        after: after.into(),
    }
}

fn cardinality(field: &FieldPlan) -> &'static str {
    match field.label {
        Label::Implicit | Label::Explicit => "singular",
        Label::Repeated | Label::Packed => "repeated",
        Label::Map => "map",
    }
}

/// Returns the fields of the same oneof that both messages have: setting one clears the others.
fn oneof_change(
    old: &MessagePlan,
    new: &MessagePlan,
    was: &FieldPlan,
    is: &FieldPlan,
) -> Option<(String, String)> {
    let (before, after) = (companions(old, was, new), companions(new, is, old));
    (before != after).then(|| (listed(old, &before), listed(new, &after)))
}

fn companions(message: &MessagePlan, field: &FieldPlan, other: &MessagePlan) -> BTreeSet<u32> {
    let Some(oneof) = field.oneof else {
        return BTreeSet::new();
    };
    let members = message.fields.iter();
    members
        .filter(|own| own.oneof == Some(oneof) && own.number != field.number)
        .map(|own| own.number)
        .filter(|number| other.by_number(*number).is_some())
        .collect()
}

fn listed(message: &MessagePlan, numbers: &BTreeSet<u32>) -> String {
    let names: Vec<&str> = numbers
        .iter()
        .filter_map(|number| Some(&*message.fields.get(message.by_number(*number)?)?.name))
        .collect();
    match names.as_slice() {
        [] => "independent".to_owned(),
        names => format!("one of it and {}", names.join(", ")),
    }
}
