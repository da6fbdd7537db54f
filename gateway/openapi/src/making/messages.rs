//! Examples of messages, field by field.

use std::collections::HashSet;

use descriptors::{FieldDef, FieldPlan, Label, MessageId, Shape, quoted};

use super::{Extent, MAX_DEPTH, MAX_EXAMPLE_BYTES, Sampler};
use crate::options::{self, Behavior};
use crate::rules::refuses_zero;
use crate::value::Json;

impl Sampler<'_> {
    /// Returns an example of a message that its rules accept.
    pub(crate) fn message(&mut self, id: MessageId, extent: Extent) -> Option<Json> {
        let text = self.text(id, extent)?;
        self.checker.message(id, &text).ok()
    }

    /// Returns the text of a message without the fields at some indices. It is not validated: what
    /// is left out may come from elsewhere.
    pub(crate) fn partial(
        &mut self,
        id: MessageId,
        without: &[usize],
        extent: Extent,
    ) -> Option<Box<str>> {
        match without {
            [] => self.text(id, extent),
            _ => self.object(id, without, extent).map(Into::into),
        }
    }

    pub(super) fn text(&mut self, id: MessageId, extent: Extent) -> Option<Box<str>> {
        if let Some(made) = self.made.get(&(id, extent)) {
            return made.clone();
        }
        if self.around.contains(&id) || self.around.len() >= MAX_DEPTH {
            self.cuts += 1;
            return None;
        }
        let cuts = self.cuts;
        let made: Option<Box<str>> = match self.types.message(id).shape {
            Shape::Object => self.object(id, &[], extent).map(Into::into),
            _ => self
                .message_values(id, None, "value", id)
                .into_iter()
                .next()
                .map(Into::into),
        };
        // A message that was cut short within another has more elsewhere.
        if cuts == self.cuts || self.around.is_empty() {
            self.made.insert((id, extent), made.clone());
        }
        made
    }

    fn object(&mut self, id: MessageId, without: &[usize], extent: Extent) -> Option<String> {
        let (types, pool) = (self.types, self.pool);
        let plan = types.message(id);
        let mut taken = self.groups_of(id, without);
        let mut members: Vec<String> = Vec::new();
        let mut bytes = 0;
        self.around.push(id);
        for definition in &pool.message(id).fields {
            let Some(index) = plan.by_number(definition.number) else {
                continue;
            };
            let field = &plan.fields[index];
            let is_required = self.is_needed(id, index, definition) || taken.needs(index);
            let is_wanted = extent == Extent::Whole && is_settable(definition);
            if without.contains(&index) || taken.excludes(index) || !(is_required || is_wanted) {
                continue;
            }
            let is_any = field.message().map(|id| types.message(id).shape) == Some(Shape::Any);
            if !is_required && (is_any || bytes > MAX_EXAMPLE_BYTES) {
                continue;
            }
            let value = match self.field(id, index, definition) {
                Some(value) => value.to_text(),
                None if self.is_needed(id, index, definition) => {
                    self.around.pop();
                    return None;
                }
                None => continue,
            };
            if !is_required && bytes + value.len() > MAX_EXAMPLE_BYTES {
                continue;
            }
            bytes += value.len();
            taken.take(index);
            members.push(format!("{}:{value}", quoted(&field.json_name)));
        }
        self.around.pop();
        Some(format!("{{{}}}", members.join(",")))
    }

    /// Returns whether a message without this field is refused.
    fn is_needed(&self, id: MessageId, index: usize, definition: &FieldDef) -> bool {
        let plan: &FieldPlan = &self.types.message(id).fields[index];
        let by_rule = self.own_rules(id, index).is_some_and(|rules| {
            rules.is_required || plan.label != Label::Explicit && refuses_zero(rules)
        });
        by_rule || plan.is_required || options::field(definition).has(Behavior::Required)
    }

    /// Returns the choices of a message, of which those are made that the fields left out make.
    fn groups_of(&self, id: MessageId, without: &[usize]) -> Groups {
        let mut groups = Groups::default();
        let rules = self.rules.messages.get(id);
        let required: HashSet<&str> = rules
            .into_iter()
            .flat_map(|rules| &rules.required_oneofs)
            .map(|oneof| &*oneof.name)
            .collect();
        let fields = self.types.message(id).fields.iter().enumerate();
        for (number, oneof) in self.pool.message(id).oneofs.iter().enumerate() {
            let own = fields
                .clone()
                .filter(|(_, field)| field.oneof.map(usize::from) == Some(number));
            groups.add(
                own.map(|(at, _)| at).collect(),
                required.contains(&*oneof.name),
            );
        }
        for choice in rules.into_iter().flat_map(|rules| &rules.choices) {
            let members = choice.members.iter().map(|member| *member as usize);
            groups.add(members.collect(), choice.is_required);
        }
        without.iter().for_each(|index| groups.take(*index));
        groups
    }
}

/// Fields of which one may be set.
#[derive(Default)]
struct Groups(Vec<Group>);

struct Group {
    members: Vec<usize>,
    is_required: bool,
    is_taken: bool,
}

// === impl Groups ===

impl Groups {
    fn add(&mut self, members: Vec<usize>, is_required: bool) {
        self.0.push(Group {
            members,
            is_required,
            is_taken: false,
        });
    }

    fn of(&self, index: usize) -> impl Iterator<Item = &Group> {
        self.0
            .iter()
            .filter(move |group| group.members.contains(&index))
    }

    fn excludes(&self, index: usize) -> bool {
        self.of(index).any(|group| group.is_taken)
    }

    fn needs(&self, index: usize) -> bool {
        self.of(index)
            .any(|group| group.is_required && !group.is_taken)
    }

    fn take(&mut self, index: usize) {
        let groups = self.0.iter_mut();
        for group in groups.filter(|group| group.members.contains(&index)) {
            group.is_taken = true;
        }
    }
}

/// Returns whether a caller of the service may want to set a field.
fn is_settable(definition: &FieldDef) -> bool {
    !is_output_only(definition) && !options::field(definition).deprecated && !is_opaque(definition)
}

/// Returns whether only the service makes the values of a field: tokens, such as those of pages
/// (AIP-158), and etags (AIP-154).
pub(crate) fn is_opaque(definition: &FieldDef) -> bool {
    let name = &*definition.name;
    name == "etag" || name == "token" || name.ends_with("_token")
}

pub(super) fn is_output_only(definition: &FieldDef) -> bool {
    options::field(definition).has(Behavior::OutputOnly)
}
