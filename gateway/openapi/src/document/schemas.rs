//! Component schemas: one per message and enum that an operation reaches, under its full name.
//!
//! A schema shows the form that responses have (ProtoJSON); requests may also use what else
//! ProtoJSON reads, such as strings for numbers and the proto names of fields. Responses
//! promise no field, as they leave defaults out; requests may have `null` for what is unset, and no
//! other fields.

use contract::DataClass;
use transcoder::EmitDefaults;

use descriptors::{EnumDef, EnumValueDef, FieldDef, FieldPlan, Kind, Label, MessageId, Shape};
use validation::rules::{Ignore, OwnRules, Test, ValueRules};

use super::Document;
use super::components::{Component, Side, any};
use crate::comments::Comment;
use crate::digits;
use crate::options::Behavior;
use crate::rules::{Constraints, Translator};
use crate::scalars::{self, Look, look, typed};
use crate::value::{Json, Object};

impl<'a> Document<'a> {
    pub(super) fn message(&mut self, id: MessageId) -> Object {
        match self.types.message(id).shape {
            Shape::Any => any(),
            _ => self.object(id, &[]),
        }
    }

    /// Returns the schema of a message as an object, without the fields at some indices.
    pub(super) fn object(&mut self, id: MessageId, without: &[usize]) -> Object {
        let (plan, definition) = (self.types.message(id), self.pool.message(id));
        let mut properties = Object::new();
        let mut required = Vec::new();
        for field in self.fields(id) {
            let Some(index) = plan.by_number(field.number) else {
                continue;
            };
            if without.contains(&index) {
                continue;
            }
            let property = self.property(&plan.fields[index]).to_owned();
            let mut schema = self.field(id, index, field);
            if self.is_required(id, index, field) {
                required.push(Json::from(&*property));
            } else if self.may_be_null(&plan.fields[index]) {
                schema = scalars::nullable(schema);
            }
            properties.push(property, schema);
        }
        let comment = Comment::of(&definition.source);
        let mut schema = typed("object");
        schema.set_text("description", &comment.text());
        if definition
            .options
            .decode()
            .is_ok_and(|options: crate::options::Message| options.deprecated)
        {
            schema.set("deprecated", true);
        }
        schema.set("properties", properties);
        if self.refuses_unknown() {
            schema.set("additionalProperties", false);
        }
        if !required.is_empty() {
            schema.set("required", required);
        }
        self.choices(id, definition, without, &mut schema);
        let examples = self.message_examples(id, definition, &comment);
        if !examples.is_empty() && without.is_empty() {
            schema.set("examples", examples);
        }
        schema
    }

    /// Returns the schema of a field with all that contract and comments say about it.
    pub(super) fn field(&mut self, id: MessageId, index: usize, definition: &FieldDef) -> Object {
        let plan = &self.types.message(id).fields[index];
        let rules = self.rules(id, index);
        let (mut schema, sentences) = match plan.label {
            Label::Map => self.map(plan, rules),
            Label::Repeated | Label::Packed => self.list(plan, rules),
            _ => self.value(plan.kind, rules.map(|rules| &rules.value)),
        };
        if self.side == Side::Request && rules.is_some_and(|rules| rules.is_required) {
            self.exclude_absence(plan, &mut schema);
        }
        let comment = Comment::of(&definition.source);
        schema.set_text("description", &described(&comment.text(), &sentences));
        let options = crate::options::field(definition);
        if options.deprecated {
            schema.set("deprecated", true);
        }
        if options.has(Behavior::OutputOnly) {
            schema.set("readOnly", true);
        }
        if options.has(Behavior::InputOnly) {
            schema.set("writeOnly", true);
        }
        policy(definition, &mut schema);
        let examples = self.field_examples(id, index, definition, &comment);
        if !examples.is_empty() {
            schema.set("examples", examples);
        }
        schema
    }

    /// Returns whether an object has no members but its fields.
    fn refuses_unknown(&self) -> bool {
        self.side == Side::Request && !self.schema.json_options().ignore_unknown_fields
    }

    /// Returns the schema of a well-known type, as readers take it.
    pub(super) fn strict(&self, id: MessageId, schema: Object) -> Object {
        match self.types.message(id).shape {
            Shape::Empty if self.refuses_unknown() => schema.with("additionalProperties", false),
            _ => schema,
        }
    }

    /// Returns whether a field that need not be there may be `null` in its place.
    fn may_be_null(&self, field: &FieldPlan) -> bool {
        let has_presence = field.label == Label::Explicit && field.oneof.is_none();
        match self.side {
            Side::Request => true,
            Side::Response => {
                let mode = self.schema.json_options().emit_defaults;
                mode == EmitDefaults::Nulls && has_presence && !field.is_optional
            }
        }
    }

    pub(super) fn rules(&self, id: MessageId, index: usize) -> Option<&'a OwnRules> {
        let rules = self.schema.validation().rules();
        let fields = &rules.messages.get(id)?.fields;
        fields.get(index)?.own.as_deref()
    }

    fn value(&mut self, kind: Kind, rules: Option<&ValueRules>) -> (Object, Vec<String>) {
        let inner = self.wrapped(kind).unwrap_or(kind);
        let mut schema = match kind {
            Kind::Enum(id) if self.types.enums.get(id).is_some_and(|found| found.is_null) => {
                match self.side {
                    Side::Request => scalars::null(),
                    Side::Response => typed("null"),
                }
            }
            Kind::Enum(id) => self.reference(Component::Enum(id)),
            Kind::Message(id) if inner == kind => {
                let own = scalars::well_known(self.types.message(id).shape);
                let own = own.map(|own| self.strict(id, own));
                own.unwrap_or_else(|| self.message_reference(id))
            }
            Kind::Group(id) => self.message_reference(id),
            _ => {
                let finite = |rules: &ValueRules| {
                    rules
                        .checks
                        .iter()
                        .any(|check| matches!(check.test, Test::Finite))
                };
                scalars::scalar(inner, rules.is_some_and(finite))
            }
        };
        if self.side == Side::Request {
            schema = scalars::readable(inner, schema);
        }
        let constraints = rules.map(|rules| self.translator(inner).translate(rules));
        let sentences = constraints.unwrap_or_default().apply(&mut schema);
        match (self.side, look(inner)) {
            (Side::Request, Look::Digits(_)) => schema = scalars::choice_of_types(schema),
            (Side::Response, Look::Digits(_)) => {
                // Writers have text alone, for which there is the pattern.
                schema.remove("minimum");
                schema.remove("maximum");
            }
            _ => {}
        }
        if inner != kind {
            schema = scalars::nullable(schema);
        }
        (schema, sentences)
    }

    /// Returns the scalar that a wrapper message wraps.
    fn wrapped(&self, kind: Kind) -> Option<Kind> {
        let Kind::Message(id) = kind else { return None };
        let plan = self.types.message(id);
        let value = plan.fields.first()?;
        (plan.shape == Shape::Wrapper).then_some(value.kind)
    }

    fn translator(&self, kind: Kind) -> Translator<'_> {
        let names = match kind {
            Kind::Enum(id) => self.types.enums.get(id),
            _ => None,
        };
        Translator::new(look(kind), names, self.enums_as_numbers())
    }

    fn list(&mut self, plan: &FieldPlan, rules: Option<&OwnRules>) -> (Object, Vec<String>) {
        let (items, sentences) = self.value(plan.kind, rules.map(|rules| &rules.items));
        let items = with_sentences(items, &sentences);
        let mut schema = typed("array").with("items", items);
        let mut sentences = Vec::new();
        if let Some(rules) = rules.filter(|rules| rules.value.ignore != Ignore::Always) {
            sentences = Constraints::counts(&rules.count, false).apply(&mut schema);
            if rules.unique.is_some() {
                schema.set("uniqueItems", true);
            }
        }
        (schema, sentences)
    }

    fn map(&mut self, plan: &FieldPlan, rules: Option<&OwnRules>) -> (Object, Vec<String>) {
        let entry = plan
            .message()
            .map(|id| self.types.message(id).fields.as_slice());
        let Some([key, value]) = entry else {
            return (typed("object"), Vec::new());
        };
        let (values, sentences) = self.value(value.kind, rules.map(|rules| &rules.items));
        let mut schema =
            typed("object").with("additionalProperties", with_sentences(values, &sentences));
        let (names, sentences) = self.key(key.kind, rules.map(|rules| &rules.keys));
        if !names.is_empty() {
            schema.set("propertyNames", with_sentences(names, &sentences));
        }
        if let Some(rules) = rules.filter(|rules| rules.value.ignore != Ignore::Always) {
            Constraints::counts(&rules.count, true).apply(&mut schema);
        }
        (schema, Vec::new())
    }

    /// Names of members are strings, whatever the type of the key.
    fn key(&self, kind: Kind, rules: Option<&ValueRules>) -> (Object, Vec<String>) {
        // A number in a name is text: no keyword for numbers fits it.
        let as_text = match (look(kind), digits::range(kind)) {
            (Look::Text, _) => Look::Text,
            (_, Some(range)) => Look::Digits(range),
            _ => Look::Other,
        };
        let mut schema = match as_text {
            Look::Text => Object::new(),
            Look::Digits(range) => Object::new().with("pattern", digits::pattern(range)),
            _ => Object::new().with("enum", Json::list(["true", "false"])),
        };
        let translate = |rules| Translator::new(as_text, None, false).translate(rules);
        let constraints = rules.map(translate).unwrap_or_default();
        let sentences = constraints.apply(&mut schema);
        (schema, sentences)
    }

    pub(super) fn enumeration(&self, definition: &EnumDef) -> Object {
        let comment = Comment::of(&definition.source);
        let mut text = comment.text();
        let values = definition.values.iter().filter_map(value_line);
        let lines: Vec<String> = values.collect();
        if !lines.is_empty() {
            text = format!("{text}\n\n{}", lines.join("\n"));
        }
        let names = || Json::list(definition.values.iter().map(|value| &*value.name));
        let mut schema = if self.enums_as_numbers() {
            let numbers = || Json::list(definition.values.iter().map(|value| value.number));
            let mut schema = scalars::number();
            if definition.is_closed() {
                schema.set("enum", numbers());
            }
            schema
                .with("x-enum-numbers", numbers())
                .with("x-enum-varnames", names())
        } else if definition.is_closed() {
            typed("string").with("enum", names())
        } else {
            // Numbers are what newer values look like to those who know no name for them.
            let named = typed("string").with("enum", names());
            Object::new().with("anyOf", Json::list([named, scalars::number()]))
        };
        schema.set_text("description", text.trim());
        // The first value mostly means that none was chosen.
        let example = definition.values.iter().find(|value| value.number != 0);
        if let Some(example) = example.or(definition.values.first()) {
            let example = match self.enums_as_numbers() {
                true => Json::from(example.number),
                false => Json::from(&*example.name),
            };
            schema.set("examples", Json::List(vec![example]));
        }
        if definition
            .options
            .decode()
            .is_ok_and(|options: crate::options::Enum| options.deprecated)
        {
            schema.set("deprecated", true);
        }
        schema
    }
}

/// Description and sentences in one text.
pub(super) fn described(description: &str, sentences: &[String]) -> String {
    let mut text = description.to_owned();
    for (index, sentence) in sentences.iter().enumerate() {
        if !text.is_empty() {
            text.push_str(if index == 0 { "\n\n" } else { " " });
        }
        let mut characters = sentence.chars();
        text.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(characters.as_str());
        text.push('.');
    }
    text
}

fn with_sentences(mut schema: Object, sentences: &[String]) -> Object {
    schema.set_text("description", &described("", sentences));
    schema
}

/// One item of an enum's description, where there is something to say.
fn value_line(value: &EnumValueDef) -> Option<String> {
    let text = Comment::of(&value.source).text().replace('\n', " ");
    let options: crate::options::EnumValue = value.options.decode().unwrap_or_default();
    let deprecated = if options.deprecated {
        " (deprecated)"
    } else {
        ""
    };
    match (text.as_str(), deprecated) {
        ("", "") => None,
        ("", _) => Some(format!("- `{}`{deprecated}", value.name)),
        _ => Some(format!("- `{}`{deprecated}: {text}", value.name)),
    }
}

/// Adds how confidential a field is, and who reads it.
fn policy(definition: &FieldDef, schema: &mut Object) {
    let (class, visible) = definition.policy();
    if class != DataClass::default() {
        schema.set("x-data-class", class.name());
    }
    if let Some(roles) = visible {
        let roles: Vec<Json> = roles.iter().map(|role| Json::from(&**role)).collect();
        schema.set("x-visible-to", roles);
    }
}
