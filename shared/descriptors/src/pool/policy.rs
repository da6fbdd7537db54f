//! The options of fields that are policy: how confidential values are, and who may read them.

use contract::DataClass;
use prost::Message;

use super::{FieldDef, Pool};
use crate::error::Problem;
use crate::kind::{Kind, MessageId};

/// Full name of the extension whose definition a set must have: anybody may use its number.
const NAME: &str = "mesh.v1.visible";

/// Number of `mesh.v1.visible`.
const VISIBLE: i32 = 50_111;

/// The policy of one field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPolicy {
    /// The message.
    pub message: MessageId,
    /// The field's number.
    pub number: u32,
    /// How confidential its values are.
    pub class: DataClass,
    /// The roles of which a reader needs one; `None` where every caller may read the field.
    pub visible: Option<Vec<String>>,
}

/// A field of a message or of one below it, and how confidential it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifiedField {
    /// Names of the proto files from the message down, with dots.
    pub name: String,
    /// The same by JSON names.
    pub json_name: String,
    /// The class of the field itself.
    pub class: DataClass,
    /// Whether the field, or one that it is in, is confidential.
    pub is_confidential: bool,
}

/// Most fields of [`Pool::classes`], and the deepest message: a type may hold itself.
const FIELDS_MAX: usize = 500;
const DEPTH_MAX: usize = 8;

/// `google.protobuf.FieldOptions`, as far as `mesh.v1` adds to it.
#[derive(Clone, PartialEq, Eq, Message)]
struct PolicyOptions {
    #[prost(int32, tag = "50110")]
    data_class: i32,
    #[prost(message, optional, tag = "50111")]
    visible: Option<Visible>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Visible {
    #[prost(string, repeated, tag = "1")]
    roles: Vec<String>,
}

// === impl Pool ===

impl Pool {
    /// Returns the fields that have a policy, extensions included. Mistakes are added to
    /// `problems`.
    pub fn field_policies(&self, problems: &mut Vec<Problem>) -> Vec<FieldPolicy> {
        if !self.extensions.iter().any(|own| *own.field.name == *NAME) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (id, message) in self.messages.iter().enumerate() {
            for field in &message.fields {
                let element = format!("{}.{}", message.name, field.name);
                found.extend(self.field_policy(id, field, element, problems));
            }
        }
        for extension in &self.extensions {
            let element = extension.field.name.to_string();
            found.extend(self.field_policy(
                extension.extendee,
                &extension.field,
                element,
                problems,
            ));
        }
        found
    }

    /// Returns the fields of a message and of those in it, 500 at most, with their classes: for
    /// people.
    pub fn classes(&self, id: MessageId) -> Vec<ClassifiedField> {
        let mut all = Vec::new();
        self.add_classes(id, None, 0, &mut all);
        all
    }

    fn add_classes(
        &self,
        id: MessageId,
        above: Option<&ClassifiedField>,
        depth: usize,
        all: &mut Vec<ClassifiedField>,
    ) {
        for field in &self.message(id).fields {
            if all.len() >= FIELDS_MAX {
                return;
            }
            let (class, _) = field.policy();
            let (mut name, mut json_name) = (field.name.to_string(), field.json_name.to_string());
            if let Some(above) = above {
                name = format!("{}.{name}", above.name);
                json_name = format!("{}.{json_name}", above.json_name);
            }
            let own = ClassifiedField {
                name,
                json_name,
                class,
                is_confidential: class.is_confidential()
                    || above.is_some_and(|above| above.is_confidential),
            };
            all.push(own.clone());
            if let Kind::Message(below) | Kind::Group(below) = field.kind
                && depth < DEPTH_MAX
            {
                self.add_classes(below, Some(&own), depth + 1, all);
            }
        }
    }

    fn field_policy(
        &self,
        message: MessageId,
        field: &FieldDef,
        element: String,
        problems: &mut Vec<Problem>,
    ) -> Option<FieldPolicy> {
        let (class, visible) = field.policy();
        if visible.is_none() && class == DataClass::default() {
            return None;
        }
        let mistake = match &visible {
            Some(roles) if roles.is_empty() || roles.iter().any(String::is_empty) => {
                Some("mesh.v1.visible: name at least one role, such as `roles: \"support\"`")
            }
            Some(_) if field.is_required => {
                Some("mesh.v1.visible: a required field can't be left out of a response")
            }
            _ => None,
        };
        if let Some(reason) = mistake {
            let place = self.place_of_option(&field.source, element, VISIBLE);
            problems.push(place.problem(reason.to_owned()));
        }
        Some(FieldPolicy {
            message,
            number: field.number,
            class,
            visible,
        })
    }
}

// === impl FieldDef ===

impl FieldDef {
    /// Returns how confidential the field's values are, and the roles of which a reader needs one,
    /// as the options have it. They count in a set that declares them.
    pub fn policy(&self) -> (DataClass, Option<Vec<String>>) {
        let options: PolicyOptions = self.options.decode().unwrap_or_default();
        let class = DataClass::from_number(options.data_class);
        (class, options.visible.map(|visible| visible.roles))
    }
}
