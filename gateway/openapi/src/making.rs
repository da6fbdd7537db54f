//! Examples that the service accepts, made from the types and rules of a contract. Each is a guess
//! that the service's own reader and validator have passed; where no guess does, there is none.

mod lists;
mod messages;
mod numbers;
mod times;
mod words;

use std::collections::HashMap;

use descriptors::quoted;
use descriptors::{FieldDef, FieldPlan, Kind, Label, MessageId, Pool, Shape, Types};
use transcoder::Schema;
use validation::rules::{OwnRules, ValueRules};

pub(crate) use messages::is_opaque;

use crate::checked::Checker;
use crate::comments::Comment;
use crate::options;
use crate::value::Json;

/// Guesses that are tried for one field.
const MAX_GUESSES: usize = 96;

/// Messages within messages of an example.
const MAX_DEPTH: usize = 8;

/// The size of an example from which on it has no further optional fields, in bytes.
const MAX_EXAMPLE_BYTES: usize = 2048;

/// How much of a message an example has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// All fields that a caller may want to set.
    Whole,
    /// The required ones.
    Required,
}

/// Makes examples of one schema's types.
pub(crate) struct Sampler<'a> {
    types: &'a Types,
    pool: &'a Pool,
    rules: &'a validation::rules::Rules,
    checker: Checker<'a>,
    /// The messages that were made; `None` where no guess is accepted.
    made: HashMap<(MessageId, Extent), Option<Box<str>>>,
    /// The messages around the one at hand: none is entered twice.
    around: Vec<MessageId>,
    /// How often a message was left out within itself, or too deep.
    cuts: usize,
}

// === impl Sampler ===

impl<'a> Sampler<'a> {
    pub(crate) fn new(schema: &'a Schema, pool: &'a Pool) -> Self {
        Sampler {
            types: schema.types(),
            pool,
            rules: schema.validation().rules(),
            checker: Checker::new(schema),
            made: HashMap::new(),
            around: Vec::new(),
            cuts: 0,
        }
    }

    /// Returns whether the values of a field are messages with a schema of their own.
    pub(crate) fn is_object(&self, field: &FieldPlan) -> bool {
        let value = match (field.label, field.message()) {
            (Label::Map, Some(entry)) => {
                let value = self.types.message(entry).fields.get(1);
                value.and_then(FieldPlan::message)
            }
            (_, message) => message,
        };
        let shape = value.map(|id| self.types.message(id).shape);
        matches!(shape, Some(Shape::Object | Shape::Any))
    }

    /// Returns an example of a field: the first guess that its rules accept.
    pub(crate) fn field(
        &mut self,
        id: MessageId,
        index: usize,
        definition: &FieldDef,
    ) -> Option<Json> {
        let types = self.types;
        let plan = &types.message(id).fields[index];
        let rules = self.own_rules(id, index);
        let mut guesses = Comment::of(&definition.source).examples;
        guesses.extend(options::field_examples(definition));
        guesses.extend(match plan.label {
            Label::Map => self.maps((id, index), plan, rules, definition),
            Label::Repeated | Label::Packed => self.lists((id, index), plan, rules, definition),
            _ => self.values(
                plan.kind,
                rules.map(|rules| &rules.value),
                &definition.name,
                id,
            ),
        });
        let mut guesses = guesses.iter().take(MAX_GUESSES);
        guesses.find_map(|guess| self.checker.field(id, index, guess).ok())
    }

    fn own_rules(&self, id: MessageId, index: usize) -> Option<&'a OwnRules> {
        let fields = &self.rules.messages.get(id)?.fields;
        fields.get(index)?.own.as_deref()
    }

    /// Returns guesses for one value, as JSON texts, the best first. `name`: that of its field;
    /// `around`: the message that has the field.
    fn values(
        &mut self,
        kind: Kind,
        rules: Option<&ValueRules>,
        name: &str,
        around: MessageId,
    ) -> Vec<String> {
        match kind {
            Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
            Kind::String => words::texts(rules, name)
                .iter()
                .map(|text| quoted(text))
                .collect(),
            Kind::Bytes => words::bytes(rules),
            Kind::Double | Kind::Float => numbers::reals(rules),
            Kind::Enum(id) => self.names(id, rules),
            Kind::Message(id) | Kind::Group(id) => self.message_values(id, rules, name, around),
            _ => numbers::integers(kind, rules),
        }
    }

    /// Returns the values of an enum: those that rules name, then the others, zero last.
    fn names(&self, id: usize, rules: Option<&ValueRules>) -> Vec<String> {
        let Some(definition) = self.pool.enums.get(id) else {
            return Vec::new();
        };
        let listed = numbers::constants(rules).into_iter();
        let listed = listed.filter_map(|constant| match constant {
            validation::rules::Constant::Int(number) => Some(number.to_string()),
            _ => None,
        });
        let is_live = |value: &&descriptors::EnumValueDef| {
            let options = value.options.decode::<options::EnumValue>();
            !options.is_ok_and(|options| options.deprecated)
        };
        let (zeros, others): (Vec<_>, Vec<_>) = definition
            .values
            .iter()
            .partition(|value| value.number == 0);
        let others = others.into_iter().filter(is_live);
        let names = others.chain(zeros).map(|value| quoted(&value.name));
        listed.chain(names).collect()
    }

    fn message_values(
        &mut self,
        id: MessageId,
        rules: Option<&ValueRules>,
        name: &str,
        around: MessageId,
    ) -> Vec<String> {
        let plan = self.types.message(id);
        match plan.shape {
            Shape::Timestamp => times::timestamps(&self.checker, id, rules),
            Shape::Duration => times::durations(&self.checker, id, rules),
            Shape::FieldMask => self.masks(rules, around),
            Shape::Struct => vec![r#"{"key":"value"}"#.to_owned()],
            Shape::Value => vec![r#""value""#.to_owned()],
            Shape::ListValue => vec![r#"["value"]"#.to_owned()],
            Shape::Empty => vec!["{}".to_owned()],
            Shape::Any => any_values(rules),
            Shape::Wrapper => match plan.fields.first().map(|value| value.kind) {
                Some(kind) => self.values(kind, rules, name, around),
                None => Vec::new(),
            },
            Shape::Object => {
                let extents = [Extent::Whole, Extent::Required].into_iter();
                let made = extents.filter_map(|extent| self.text(id, extent));
                made.map(String::from).collect()
            }
        }
    }

    /// Returns field masks: the first field of the first message beside the mask, as updates have
    /// it (AIP-134).
    fn masks(&self, rules: Option<&ValueRules>, around: MessageId) -> Vec<String> {
        let mut paths = words::mask_paths(rules);
        let beside = self.types.message(around).fields.iter();
        let messages = beside.filter_map(|field| match field.is_singular() {
            true => field.message(),
            false => None,
        });
        for id in messages.filter(|id| self.types.message(*id).shape == Shape::Object) {
            let fields = self.pool.message(id).fields.iter();
            let settable = fields.filter(|field| !messages::is_output_only(field));
            paths.extend(settable.map(|field| field.json_name.to_string()));
        }
        paths.push("*".to_owned());
        paths.iter().map(|path| quoted(path)).collect()
    }
}

/// Returns Anys of the types that rules list, or else of a type that every schema has.
fn any_values(rules: Option<&ValueRules>) -> Vec<String> {
    let listed = numbers::constants(rules).into_iter();
    let listed = listed.filter_map(|constant| match constant {
        validation::rules::Constant::Bytes(url) => {
            let url = quoted(str::from_utf8(url).ok()?);
            Some([
                format!("{{\"@type\":{url}}}"),
                format!("{{\"@type\":{url},\"value\":{{}}}}"),
            ])
        }
        _ => None,
    });
    let known = r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"}"#;
    listed.flatten().chain([known.to_owned()]).collect()
}
