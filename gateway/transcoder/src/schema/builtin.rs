//! Types that a schema always knows: the well-known ones, and the standard details of `google.rpc.Status`. An upstream sends
//! them inside `Any` without naming them anywhere in its descriptors.

use prost_reflect::{DescriptorError, DescriptorPool};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

/// A pool of `google.protobuf`. A descriptor set added to it may leave these files out or bring its own copies.
pub(super) fn pool() -> Result<DescriptorPool, DescriptorError> {
    let mut pool = DescriptorPool::new();
    // Only this package: other code of the process may have put more into the global pool.
    pool.add_file_descriptor_protos(
        DescriptorPool::global()
            .files()
            .filter(|file| file.package_name() == "google.protobuf")
            .map(|file| file.file_descriptor_proto().clone()),
    )?;
    Ok(pool)
}

/// Adds the error details that the pool lacks, in a file of their own.
pub(super) fn add_error_details(pool: &mut DescriptorPool) -> Result<(), DescriptorError> {
    let mut file = FileDescriptorProto {
        name: Some("protomesh/transcoder/error_details.proto".into()),
        package: Some("google.rpc".into()),
        syntax: Some("proto3".into()),
        dependency: vec!["google/protobuf/duration.proto".into()],
        ..FileDescriptorProto::default()
    };
    for (name, fields) in ERROR_DETAILS {
        let root = name.split('.').next().unwrap_or(name);
        if pool
            .get_message_by_name(&format!("google.rpc.{root}"))
            .is_some()
        {
            continue;
        }
        let message = message(name, fields);
        match file.message_type.iter_mut().find(|m| m.name() == root) {
            Some(parent) => parent.nested_type.push(message),
            None => file.message_type.push(message),
        }
    }
    pool.add_file_descriptor_proto(file)
}

enum Field {
    Text(&'static str),
    Number(&'static str),
    OptionalNumber(&'static str),
    /// From string to string.
    Map(&'static str),
    One(&'static str, &'static str),
    Many(&'static str, &'static str),
}

use Field::{Many, Map, Number, One, OptionalNumber, Text};

/// `google/rpc/error_details.proto`: the fields of each message are numbered from one, without gaps.
const ERROR_DETAILS: [(&str, &[Field]); 13] = [
    (
        "ErrorInfo",
        &[Text("reason"), Text("domain"), Map("metadata")],
    ),
    (
        "RetryInfo",
        &[One("retry_delay", ".google.protobuf.Duration")],
    ),
    (
        "QuotaFailure",
        &[Many("violations", ".google.rpc.QuotaFailure.Violation")],
    ),
    (
        "QuotaFailure.Violation",
        &[
            Text("subject"),
            Text("description"),
            Text("api_service"),
            Text("quota_metric"),
            Text("quota_id"),
            Map("quota_dimensions"),
            Number("quota_value"),
            OptionalNumber("future_quota_value"),
        ],
    ),
    (
        "PreconditionFailure",
        &[Many(
            "violations",
            ".google.rpc.PreconditionFailure.Violation",
        )],
    ),
    (
        "PreconditionFailure.Violation",
        &[Text("type"), Text("subject"), Text("description")],
    ),
    (
        "BadRequest",
        &[Many(
            "field_violations",
            ".google.rpc.BadRequest.FieldViolation",
        )],
    ),
    (
        "BadRequest.FieldViolation",
        &[
            Text("field"),
            Text("description"),
            Text("reason"),
            One("localized_message", ".google.rpc.LocalizedMessage"),
        ],
    ),
    ("RequestInfo", &[Text("request_id"), Text("serving_data")]),
    (
        "ResourceInfo",
        &[
            Text("resource_type"),
            Text("resource_name"),
            Text("owner"),
            Text("description"),
        ],
    ),
    ("Help", &[Many("links", ".google.rpc.Help.Link")]),
    ("Help.Link", &[Text("description"), Text("url")]),
    ("LocalizedMessage", &[Text("locale"), Text("message")]),
];

fn message(path: &str, fields: &[Field]) -> DescriptorProto {
    let name = path.rsplit('.').next().unwrap_or(path);
    let mut message = DescriptorProto {
        name: Some(name.into()),
        ..DescriptorProto::default()
    };
    for (field, number) in fields.iter().zip(1..) {
        let descriptor = match *field {
            Text(name) => scalar(name, number, Type::String),
            Number(name) => scalar(name, number, Type::Int64),
            OptionalNumber(name) => optional(&mut message, scalar(name, number, Type::Int64)),
            One(name, type_name) => reference(name, number, type_name, Label::Optional),
            Many(name, type_name) => reference(name, number, type_name, Label::Repeated),
            Map(name) => {
                let entry = map_entry(name);
                let type_name = format!(".google.rpc.{path}.{}", entry.name());
                message.nested_type.push(entry);
                reference(name, number, &type_name, Label::Repeated)
            }
        };
        message.field.push(descriptor);
    }
    message
}

fn scalar(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        r#type: Some(kind.into()),
        label: Some(Label::Optional.into()),
        ..FieldDescriptorProto::default()
    }
}

fn reference(name: &str, number: i32, type_name: &str, label: Label) -> FieldDescriptorProto {
    FieldDescriptorProto {
        label: Some(label.into()),
        type_name: Some(type_name.into()),
        ..scalar(name, number, Type::Message)
    }
}

/// A proto3 `optional`: the only member of a oneof of its own.
fn optional(message: &mut DescriptorProto, field: FieldDescriptorProto) -> FieldDescriptorProto {
    message.oneof_decl.push(prost_types::OneofDescriptorProto {
        name: Some(format!("_{}", field.name())),
        ..prost_types::OneofDescriptorProto::default()
    });
    FieldDescriptorProto {
        proto3_optional: Some(true),
        oneof_index: Some(message.oneof_decl.len() as i32 - 1),
        ..field
    }
}

fn map_entry(field: &str) -> DescriptorProto {
    let camel: String = field
        .split('_')
        .filter_map(|word| Some((word.get(..1)?, word.get(1..)?)))
        .flat_map(|(first, rest)| [first.to_ascii_uppercase(), rest.to_owned()])
        .collect();
    DescriptorProto {
        name: Some(format!("{camel}Entry")),
        field: vec![
            scalar("key", 1, Type::String),
            scalar("value", 2, Type::String),
        ],
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..DescriptorProto::default()
    }
}
