//! Types that a schema always knows: the well-known ones that have a JSON form of their own, and
//! the standard details of `google.rpc.Status`. An upstream sends them inside `Any` without naming
//! them anywhere in its descriptors.

mod tables;

use std::collections::HashSet;

use prost::Message;
use prost::bytes::Bytes;

use crate::error::Problem;
use crate::kind::{Kind, Label};
use crate::pool::{FieldDef, MessageDef, Pool, proto};
use tables::{Content, ERROR_DETAILS, Multiplicity, StandardField, Table, WELL_KNOWN};

const PROTOBUF: &str = "google.protobuf";
const RPC: &str = "google.rpc";

/// Returns the messages that a set lacks, told the full names of those that it has: a set's own
/// definition wins.
pub(crate) fn files(own: &HashSet<String>) -> Vec<proto::File> {
    vec![
        file(PROTOBUF, WELL_KNOWN, own),
        file(RPC, ERROR_DETAILS, own),
    ]
}

/// Returns the differences of a set's own well-known types from the standard ones, which readers
/// and writers rely on.
pub(crate) fn check(pool: &Pool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for message in &pool.messages {
        let Some(name) = message.name.strip_prefix("google.protobuf.") else {
            continue;
        };
        let Some((_, fields)) = WELL_KNOWN.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        for (field, number) in fields.iter().zip(1..) {
            if !message
                .fields
                .iter()
                .any(|own| own.number == number && field.is(own, pool))
            {
                let place = pool.place(&message.source, message.name.clone());
                let reason = format!("field {number} is not the standard '{}'", field.name);
                problems.push(place.problem(reason));
            }
        }
    }
    problems
}

fn file(package: &str, table: Table, own: &HashSet<String>) -> proto::File {
    let mut file = proto::File {
        name: format!("protomesh/builtin/{package}.proto"),
        package: package.into(),
        syntax: "proto3".into(),
        ..proto::File::default()
    };
    for (name, fields) in table {
        let root = name.split('.').next().unwrap_or(name);
        if own.contains(&format!("{package}.{root}")) {
            continue;
        }
        let message = message_type(package, name, fields);
        match file.messages.iter_mut().find(|m| m.name == root) {
            Some(parent) => parent.messages.push(message),
            None => file.messages.push(message),
        }
        if *name == "Value" {
            file.enums.push(null_value());
        }
    }
    file
}

fn null_value() -> proto::EnumType {
    proto::EnumType {
        name: "NullValue".into(),
        values: vec![proto::EnumValue {
            name: "NULL_VALUE".into(),
            ..proto::EnumValue::default()
        }],
        ..proto::EnumType::default()
    }
}

fn message_type(package: &str, path: &str, fields: &[StandardField]) -> proto::MessageType {
    let mut message = proto::MessageType {
        name: path.rsplit('.').next().unwrap_or(path).into(),
        ..proto::MessageType::default()
    };
    for (field, number) in fields.iter().zip(1..) {
        field.add_to(&mut message, number, package, path);
    }
    message
}

// === impl Field ===

impl StandardField {
    fn add_to(&self, message: &mut proto::MessageType, number: i32, package: &str, path: &str) {
        let mut field = proto::Field {
            number,
            ..self.content.field(self.name, package)
        };
        match self.multiplicity {
            Multiplicity::One => {}
            Multiplicity::Many => field.label = proto::label::REPEATED,
            Multiplicity::Map => {
                let entry = map_entry(self.name, self.content.field("value", package));
                field = proto::Field {
                    number,
                    label: proto::label::REPEATED,
                    kind: proto::kind::MESSAGE,
                    type_name: format!(".{package}.{path}.{}", entry.name),
                    ..named(self.name)
                };
                message.messages.push(entry);
            }
            Multiplicity::Optional => {
                field.proto3_optional = true;
                field.oneof_index = message.oneofs.len().try_into().ok();
                message.oneofs.push(oneof(format!("_{}", self.name)));
            }
            Multiplicity::OneOf => {
                field.oneof_index = Some(0);
                if message.oneofs.is_empty() {
                    message.oneofs.push(oneof("kind".into()));
                }
            }
        }
        message.fields.push(field);
    }

    /// Returns whether `own` is this field under the same name and number.
    fn is(&self, own: &FieldDef, pool: &Pool) -> bool {
        let is_label = match self.multiplicity {
            Multiplicity::Many => matches!(own.label, Label::Repeated | Label::Packed),
            Multiplicity::Map => own.label == Label::Map,
            _ => matches!(own.label, Label::Implicit | Label::Explicit),
        };
        let named = |message: &MessageDef| match self.content {
            Content::Message(name) => message.name.strip_prefix("google.protobuf.") == Some(name),
            _ => false,
        };
        let is_content = match (self.content, own.kind) {
            (_, Kind::Message(id)) if self.multiplicity == Multiplicity::Map => {
                let mut fields = pool.message(id).fields.iter();
                fields
                    .any(|value| matches!(value.kind, Kind::Message(id) if named(pool.message(id))))
            }
            (_, Kind::Message(id)) => named(pool.message(id)),
            (Content::Scalar(kind), own) => kind == own,
            (Content::Null, Kind::Enum(_)) => true,
            _ => false,
        };
        *own.name == *self.name && is_label && is_content
    }
}

// === impl Content ===

impl Content {
    fn field(self, name: &str, package: &str) -> proto::Field {
        let (kind, type_name) = match self {
            Content::Scalar(kind) => (kind.number(), String::new()),
            Content::Null => (proto::kind::ENUM, format!(".{PROTOBUF}.NullValue")),
            Content::Message(name) if name.starts_with('.') => {
                (proto::kind::MESSAGE, format!(".{PROTOBUF}{name}"))
            }
            Content::Message(name) => (proto::kind::MESSAGE, format!(".{package}.{name}")),
        };
        proto::Field {
            kind,
            type_name,
            ..named(name)
        }
    }
}

fn named(name: &str) -> proto::Field {
    proto::Field {
        name: name.into(),
        label: proto::label::OPTIONAL,
        ..proto::Field::default()
    }
}

fn oneof(name: String) -> proto::Oneof {
    proto::Oneof {
        name,
        ..proto::Oneof::default()
    }
}

/// `MessageOptions`, as far as a map's entry needs it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct EntryOptions {
    #[prost(bool, tag = "7")]
    map_entry: bool,
}

fn map_entry(field: &str, value: proto::Field) -> proto::MessageType {
    let words = field
        .split('_')
        .filter_map(|word| Some((word.get(..1)?, word.get(1..)?)));
    let camel: String = words
        .flat_map(|(first, rest)| [first.to_ascii_uppercase(), rest.to_owned()])
        .collect();
    let key = proto::Field {
        number: 1,
        ..Content::Scalar(Kind::String).field("key", "")
    };
    proto::MessageType {
        name: format!("{camel}Entry"),
        fields: vec![key, proto::Field { number: 2, ..value }],
        options: vec![Bytes::from(
            EntryOptions { map_entry: true }.encode_to_vec(),
        )],
        ..proto::MessageType::default()
    }
}
