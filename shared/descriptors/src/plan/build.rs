//! Builds the plans from resolved definitions.

use wire::{Tag, WireType};

use super::{EnumPlan, FieldPlan, MessagePlan, NameOptions, Shape, Types};
use crate::error::{CompileError, Problem};
use crate::kind::{Kind, Label};
use crate::names::NameTable;
use crate::pool::{EnumDef, FieldDef, MessageDef, Pool, Utf8Validation};
use crate::text::{Key, Literal};

/// Field numbers up to here are looked up by index; larger ones, which are rare, by binary search.
const DENSE_NUMBERS: u32 = 512;

impl Types {
    /// Compiles the plans of all messages and enums.
    pub fn new(pool: &Pool, options: NameOptions) -> Self {
        build(pool, options)
    }

    /// Loads the definitions that these plans were compiled from once more.
    ///
    /// # Errors
    /// The set has problems, or it has other messages.
    pub fn pool(&self, descriptor_set: &[u8]) -> Result<Pool, CompileError> {
        let pool = crate::load(descriptor_set)?.pool;
        let known = self.messages.iter().map(|message| &message.name);
        if pool.messages.iter().map(|message| &message.name).eq(known) {
            return Ok(pool);
        }
        Err(CompileError {
            problems: vec![Problem {
                file: String::new(),
                line: None,
                column: None,
                element: String::new(),
                reason: "the schema was compiled from another descriptor set".to_owned(),
            }],
        })
    }
}

fn build(pool: &Pool, options: NameOptions) -> Types {
    let mut extensions: Vec<Vec<&FieldDef>> = vec![Vec::new(); pool.messages.len()];
    for extension in &pool.extensions {
        extensions[extension.extendee].push(&extension.field);
    }
    let messages = pool.messages.iter().zip(extensions);
    let mut types = Types {
        messages: messages
            .map(|(m, extensions)| message(m, &extensions))
            .collect(),
        enums: pool.enums.iter().map(enumeration).collect(),
        by_name: pool
            .messages
            .iter()
            .zip(0..)
            .map(|(message, id)| (message.name.clone(), id))
            .collect(),
    };
    types.mark_required();
    types.choose_keys(options);
    types.choose_names(options);
    types
}

fn message(definition: &MessageDef, extensions: &[&FieldDef]) -> MessagePlan {
    let oneofs = real_oneofs(definition);
    let own = definition.fields.iter().map(|own| {
        let oneof = own.oneof.and_then(|index| oneofs.get(index).copied());
        FieldPlan {
            is_optional: oneof == Some(None),
            ..field(own, oneof.flatten())
        }
    });
    let extensions = extensions.iter().map(|extension| FieldPlan {
        is_extension: true,
        name: extension.json_name.clone(),
        ..field(extension, None)
    });
    let mut fields: Vec<FieldPlan> = own.chain(extensions).collect();
    fields.sort_by_key(|field| field.number);

    // JSON names go first: where one field's JSON name is another's proto name, the JSON name is
    // what responses show.
    let json_names = (0..).zip(&fields).map(|(index, f)| (&*f.json_name, index));
    let proto_names = (0..).zip(&fields).map(|(index, f)| (&*f.name, index));
    MessagePlan {
        name: definition.name.clone(),
        shape: shape(&definition.name),
        has_required_below: fields.iter().any(|field| field.is_required),
        is_message_set: definition.is_message_set,
        names: NameTable::new(json_names.chain(proto_names)),
        dense: dense(&fields),
        fields,
    }
}

/// Returns the number in the plan of each oneof that is more than an `optional`.
fn real_oneofs(definition: &MessageDef) -> Vec<Option<u16>> {
    let mut numbers = 0..;
    let mut number = |is_synthetic: bool| match is_synthetic {
        true => None,
        false => numbers.next(),
    };
    definition
        .oneofs
        .iter()
        .map(|oneof| number(oneof.is_synthetic))
        .collect()
}

fn dense(fields: &[FieldPlan]) -> Vec<u16> {
    let small = || fields.iter().take_while(|f| f.number <= DENSE_NUMBERS);
    let size = small().last().map_or(1, |field| field.number as usize + 1);
    let mut table = vec![0; size];
    for (field, index) in small().zip(1..) {
        table[field.number as usize] = index;
    }
    table
}

fn field(definition: &FieldDef, oneof: Option<u16>) -> FieldPlan {
    FieldPlan {
        number: definition.number,
        name: definition.name.clone(),
        json_name: definition.json_name.clone(),
        shown_name: definition.json_name.clone(),
        key: Key::new(&definition.json_name),
        kind: definition.kind,
        label: definition.label,
        oneof,
        is_optional: false,
        is_extension: false,
        is_required: definition.is_required,
        is_utf8_checked: definition.kind == Kind::String
            && definition.features.utf8_validation == Utf8Validation::Verify,
        tag: tag(definition.number, definition.kind, definition.label),
    }
}

fn tag(number: u32, kind: Kind, label: Label) -> Tag {
    match label {
        Label::Packed => Tag::new(number, WireType::Delimited),
        _ => Tag::new(number, kind.wire_type()),
    }
}

fn shape(full_name: &str) -> Shape {
    let Some(name) = full_name.strip_prefix("google.protobuf.") else {
        return Shape::Object;
    };
    match name {
        "Any" => Shape::Any,
        "Duration" => Shape::Duration,
        "Empty" => Shape::Empty,
        "FieldMask" => Shape::FieldMask,
        "ListValue" => Shape::ListValue,
        "Struct" => Shape::Struct,
        "Timestamp" => Shape::Timestamp,
        "Value" => Shape::Value,
        "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value" | "UInt32Value"
        | "UInt64Value" | "BoolValue" | "StringValue" | "BytesValue" => Shape::Wrapper,
        _ => Shape::Object,
    }
}

fn enumeration(definition: &EnumDef) -> EnumPlan {
    let values = &definition.values;
    let mut quoted: Vec<(i32, Literal)> = values
        .iter()
        .map(|value| {
            (
                value.number,
                Literal::new(format!("\"{}\"", value.name).as_bytes()),
            )
        })
        .collect();
    // Stable, so that the first of several aliases stays first and survives.
    quoted.sort_by_key(|(number, _)| *number);
    quoted.dedup_by_key(|(number, _)| *number);
    EnumPlan {
        is_null: &*definition.name == "google.protobuf.NullValue",
        is_closed: definition.is_closed(),
        names: NameTable::new(
            (0..)
                .zip(values)
                .map(|(index, value)| (&*value.name, index)),
        ),
        numbers: values.iter().map(|value| value.number).collect(),
        quoted,
    }
}
