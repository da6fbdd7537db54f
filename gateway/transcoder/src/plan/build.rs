//! Builds the plans from a resolved descriptor pool.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    Kind as ReflectKind, MessageDescriptor,
};

use super::{EnumPlan, FieldPlan, Kind, Label, MessagePlan, Shape, Types};
use crate::{
    names::NameTable,
    options::Options,
    wire::{Tag, WireType},
};

/// Field numbers up to here are looked up by index; larger ones, which are rare, by binary search.
const DENSE_NUMBERS: u32 = 512;

pub(crate) fn build(pool: &DescriptorPool, options: Options) -> Types {
    let ids = Ids {
        messages: pool
            .all_messages()
            .zip(0..)
            .map(|(message, id)| (message.full_name().into(), id))
            .collect(),
        enums: pool
            .all_enums()
            .zip(0..)
            .map(|(descriptor, id)| (descriptor.full_name().into(), id))
            .collect(),
    };
    Types {
        messages: pool.all_messages().map(|m| message(&ids, &m)).collect(),
        enums: pool.all_enums().map(|e| enumeration(&e)).collect(),
        by_name: ids.messages,
        options,
    }
}

struct Ids {
    messages: HashMap<Box<str>, usize>,
    enums: HashMap<Box<str>, usize>,
}

fn message(ids: &Ids, descriptor: &MessageDescriptor) -> MessagePlan {
    let oneofs: HashMap<String, u16> = descriptor
        .oneofs()
        .filter(|oneof| !oneof.is_synthetic())
        .zip(0..)
        .map(|(oneof, index)| (oneof.name().to_owned(), index))
        .collect();
    let own = descriptor.fields().map(|f| field(ids, &oneofs, &f));
    let extensions = descriptor.extensions().map(|e| extension(ids, &e));
    let mut fields: Vec<FieldPlan> = own.chain(extensions).collect();
    fields.sort_by_key(|field| field.number);

    // JSON names go first: where one field's JSON name is another's proto name, the JSON name is what responses show.
    let json_names = (0..).zip(&fields).map(|(index, f)| (&*f.json_name, index));
    let proto_names = (0..).zip(&fields).map(|(index, f)| (&*f.name, index));
    MessagePlan {
        name: descriptor.full_name().into(),
        shape: shape(descriptor.full_name()),
        is_message_set: descriptor
            .descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.message_set_wire_format()),
        names: NameTable::new(json_names.chain(proto_names)),
        dense: dense(&fields),
        fields,
    }
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

fn field(ids: &Ids, oneofs: &HashMap<String, u16>, descriptor: &FieldDescriptor) -> FieldPlan {
    let kind = kind(ids, &descriptor.kind(), descriptor.is_group());
    let label = match descriptor.cardinality() {
        _ if descriptor.is_map() => Label::Map,
        Cardinality::Repeated if descriptor.is_packed() => Label::Packed,
        Cardinality::Repeated => Label::Repeated,
        _ if descriptor.supports_presence() => Label::Explicit,
        _ => Label::Implicit,
    };
    FieldPlan {
        number: descriptor.number(),
        name: descriptor.name().into(),
        json_name: descriptor.json_name().into(),
        key: key(descriptor.json_name()),
        kind,
        label,
        oneof: descriptor
            .containing_oneof()
            .and_then(|oneof| oneofs.get(oneof.name()).copied()),
        is_extension: false,
        is_utf8: kind == Kind::String
            && descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto3,
        tag: tag(descriptor.number(), kind, label),
    }
}

fn extension(ids: &Ids, descriptor: &ExtensionDescriptor) -> FieldPlan {
    let kind = kind(ids, &descriptor.kind(), descriptor.is_group());
    let label = match descriptor.cardinality() {
        Cardinality::Repeated if descriptor.is_packed() => Label::Packed,
        Cardinality::Repeated => Label::Repeated,
        _ => Label::Explicit,
    };
    let name: Box<str> = format!("[{}]", descriptor.full_name()).into();
    FieldPlan {
        number: descriptor.number(),
        key: key(&name),
        json_name: name.clone(),
        name,
        kind,
        label,
        oneof: None,
        is_extension: true,
        is_utf8: kind == Kind::String
            && descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto3,
        tag: tag(descriptor.number(), kind, label),
    }
}

fn tag(number: u32, kind: Kind, label: Label) -> Tag {
    match label {
        Label::Packed => Tag::new(number, WireType::Delimited),
        _ => Tag::new(number, kind.wire_type()),
    }
}

fn key(json_name: &str) -> Box<str> {
    let mut key = Vec::new();
    crate::json::put_string(json_name, &mut key);
    key.push(b':');
    String::from_utf8_lossy(&key).into()
}

fn kind(ids: &Ids, kind: &ReflectKind, is_group: bool) -> Kind {
    match kind {
        ReflectKind::Double => Kind::Double,
        ReflectKind::Float => Kind::Float,
        ReflectKind::Int32 => Kind::Int32,
        ReflectKind::Int64 => Kind::Int64,
        ReflectKind::Uint32 => Kind::Uint32,
        ReflectKind::Uint64 => Kind::Uint64,
        ReflectKind::Sint32 => Kind::Sint32,
        ReflectKind::Sint64 => Kind::Sint64,
        ReflectKind::Fixed32 => Kind::Fixed32,
        ReflectKind::Fixed64 => Kind::Fixed64,
        ReflectKind::Sfixed32 => Kind::Sfixed32,
        ReflectKind::Sfixed64 => Kind::Sfixed64,
        ReflectKind::Bool => Kind::Bool,
        ReflectKind::String => Kind::String,
        ReflectKind::Bytes => Kind::Bytes,
        ReflectKind::Enum(descriptor) => Kind::Enum(ids.enums[descriptor.full_name()]),
        ReflectKind::Message(descriptor) => {
            let id = ids.messages[descriptor.full_name()];
            if is_group {
                Kind::Group(id)
            } else {
                Kind::Message(id)
            }
        }
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

fn enumeration(descriptor: &EnumDescriptor) -> EnumPlan {
    let values = &descriptor.enum_descriptor_proto().value;
    let mut quoted: Vec<(i32, Box<str>)> = values
        .iter()
        .map(|value| (value.number(), format!("\"{}\"", value.name()).into()))
        .collect();
    // Stable, so that the first of several aliases stays first and survives.
    quoted.sort_by_key(|(number, _)| *number);
    quoted.dedup_by_key(|(number, _)| *number);
    EnumPlan {
        is_closed: descriptor.parent_file().syntax() != prost_reflect::Syntax::Proto3,
        is_null: descriptor.full_name() == "google.protobuf.NullValue",
        names: NameTable::new(
            (0..)
                .zip(values)
                .map(|(index, value)| (value.name(), index)),
        ),
        numbers: values.iter().map(|value| value.number()).collect(),
        quoted,
    }
}
