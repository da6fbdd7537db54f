//! Descriptors, decoded and resolved here: the definitions that a schema is compiled from, every reference followed, every
//! feature decided.
//!
//! Sources of the rules: `google/protobuf/descriptor.proto`, the language specifications of proto2, proto3 and editions, and
//! the page on features of protobuf.dev.

mod declare;
mod features;
mod fields;
mod load;
pub(crate) mod proto;
mod report;
mod resolve;
mod source;
mod symbols;

use std::{ops::RangeInclusive, sync::Arc};

use crate::plan::{Kind, Label, MessageId};

pub(crate) use declare::is_identifier;
pub(crate) use features::{EnumType, Features, Utf8Validation};
pub(crate) use load::load;
pub(crate) use proto::RawOptions;
pub(crate) use source::{Place, Source};

/// All definitions of a set. It is needed while plans are compiled, and dropped then.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub(crate) files: Vec<FileDef>,
    /// By [`MessageId`]; nested ones and map entries are among them.
    pub(crate) messages: Vec<MessageDef>,
    /// By [`crate::plan::EnumId`].
    pub(crate) enums: Vec<EnumDef>,
    pub(crate) extensions: Vec<ExtensionDef>,
    pub(crate) services: Vec<ServiceDef>,
}

/// One proto file.
#[derive(Debug)]
pub(crate) struct FileDef {
    pub(crate) name: Arc<str>,
}

/// A message; also a map's entry, or the type of a group.
#[derive(Debug)]
pub(crate) struct MessageDef {
    /// Full name, so for all definitions but fields, values and oneofs.
    pub(crate) name: Box<str>,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
    pub(crate) features: Features,
    /// In the order of the file.
    pub(crate) fields: Vec<FieldDef>,
    /// Synthetic ones included, as fields refer to them by index.
    pub(crate) oneofs: Vec<OneofDef>,
    pub(crate) extension_ranges: Vec<proto::ExtensionRange>,
    pub(crate) reserved: Reserved,
    pub(crate) is_map_entry: bool,
    /// `message_set_wire_format`: extensions are items of a group on the wire.
    pub(crate) is_message_set: bool,
    /// `deprecated_legacy_json_field_conflicts`: equal JSON names are tolerated for now.
    pub(crate) tolerates_json_conflicts: bool,
}

/// A field of a message, or an extension.
#[derive(Debug)]
pub(crate) struct FieldDef {
    /// The field's name; of an extension its full name.
    pub(crate) name: Box<str>,
    /// Of an extension `[full.name]`.
    pub(crate) json_name: Box<str>,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) label: Label,
    pub(crate) is_required: bool,
    /// Index into [`MessageDef::oneofs`].
    pub(crate) oneof: Option<usize>,
    pub(crate) features: Features,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
}

/// An extension, and the message that it extends.
#[derive(Debug)]
pub(crate) struct ExtensionDef {
    pub(crate) extendee: MessageId,
    pub(crate) field: FieldDef,
}

/// A oneof of a message.
#[derive(Debug)]
pub(crate) struct OneofDef {
    pub(crate) name: Box<str>,
    /// Made by the compiler for one proto3 `optional` field.
    pub(crate) is_synthetic: bool,
    pub(crate) features: Features,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
}

/// An enum.
#[derive(Debug)]
pub(crate) struct EnumDef {
    pub(crate) name: Box<str>,
    pub(crate) features: Features,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
    /// In the order of the file; aliases included.
    pub(crate) values: Vec<EnumValueDef>,
    pub(crate) reserved: Reserved,
}

/// Numbers and names that no field or value may have again.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    numbers: Vec<RangeInclusive<i64>>,
    names: Vec<String>,
}

/// One name of an enum.
#[derive(Debug)]
pub(crate) struct EnumValueDef {
    pub(crate) name: Box<str>,
    pub(crate) number: i32,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
}

/// A service.
#[derive(Debug)]
pub(crate) struct ServiceDef {
    pub(crate) name: Box<str>,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
    pub(crate) methods: Vec<MethodDef>,
}

/// A method of a service.
#[derive(Debug)]
pub(crate) struct MethodDef {
    /// `package.Service.Method`.
    pub(crate) name: Box<str>,
    pub(crate) input: MessageId,
    pub(crate) output: MessageId,
    pub(crate) is_client_streaming: bool,
    pub(crate) is_server_streaming: bool,
    pub(crate) source: Source,
    pub(crate) options: RawOptions,
}

// === impl Pool ===

impl Pool {
    /// Where `element`, whose source this is, is written.
    pub(crate) fn place(&self, source: &Source, element: impl Into<Box<str>>) -> Place {
        Place {
            file: self
                .files
                .get(source.file)
                .map_or_else(|| "".into(), |file| file.name.clone()),
            line: source.line,
            element: element.into(),
        }
    }

    /// [`Pool::place`], with the line where the option of this number is set.
    pub(crate) fn place_of_option(
        &self,
        source: &Source,
        element: impl Into<Box<str>>,
        option: i32,
    ) -> Place {
        Place {
            line: source.option_line(option),
            ..self.place(source, element)
        }
    }

    pub(crate) fn message(&self, id: MessageId) -> &MessageDef {
        &self.messages[id]
    }
}

// === impl Reserved ===

impl Reserved {
    pub(crate) fn has_number(&self, number: i64) -> bool {
        self.numbers.iter().any(|range| range.contains(&number))
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    fn of_message(proto: &proto::MessageType) -> Self {
        let ranges = proto.reserved_ranges.iter();
        Reserved {
            numbers: ranges
                .map(|range| range.start.into()..=i64::from(range.end) - 1)
                .collect(),
            names: proto.reserved_names.clone(),
        }
    }

    fn of_enum(proto: &proto::EnumType) -> Self {
        let ranges = proto.reserved_ranges.iter();
        Reserved {
            numbers: ranges
                .map(|range| range.start.into()..=range.end.into())
                .collect(),
            names: proto.reserved_names.clone(),
        }
    }
}

// === impl EnumDef ===

impl EnumDef {
    /// Whether numbers that the enum does not name are unknown fields, instead of values.
    pub(crate) fn is_closed(&self) -> bool {
        self.features.enum_type == EnumType::Closed
    }
}

#[cfg(test)]
mod tests;
