//! Descriptors, decoded and resolved here: the definitions that a schema is compiled from, every
//! reference followed, every feature decided.
//!
//! Sources of the rules: `google/protobuf/descriptor.proto`, the language specifications of proto2,
//! proto3 and editions, and the page on features of protobuf.dev.

mod declare;
mod event;
mod features;
mod fields;
mod load;
mod policy;
pub mod proto;
mod report;
mod resolve;
mod source;
mod symbols;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::kind::{Kind, Label, MessageId};

pub use declare::is_identifier;
pub use event::EventOption;
pub(crate) use features::{EnumType, Features, Utf8Validation};
pub(crate) use load::load;
pub use policy::{ClassifiedField, FieldPolicy};
pub use proto::RawOptions;
pub use source::{Comment, FileId, Place, Source};

/// All definitions of a set. It is needed while plans are compiled, and dropped then.
#[derive(Debug, Default)]
pub struct Pool {
    /// In the order of the set.
    pub files: Vec<FileDef>,
    /// By [`MessageId`]; nested ones and map entries are among them.
    pub messages: Vec<MessageDef>,
    /// By [`crate::kind::EnumId`].
    pub enums: Vec<EnumDef>,
    /// All extensions, wherever they are declared.
    pub extensions: Vec<ExtensionDef>,
    /// In the order of the files.
    pub services: Vec<ServiceDef>,
}

/// One proto file.
#[derive(Debug)]
pub struct FileDef {
    /// Name as imports spell it.
    pub name: Arc<str>,
}

/// A message; also a map's entry, or the type of a group.
#[derive(Debug)]
pub struct MessageDef {
    /// Full name, so for all definitions but fields, values and oneofs.
    pub name: Box<str>,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
    pub(crate) features: Features,
    /// In the order of the file.
    pub fields: Vec<FieldDef>,
    /// Synthetic ones included, as fields refer to them by index.
    pub oneofs: Vec<OneofDef>,
    pub(crate) extension_ranges: Vec<proto::ExtensionRange>,
    /// Numbers and names that no field may have.
    pub reserved: Reserved,
    /// It is the entry of a map.
    pub is_map_entry: bool,
    /// `message_set_wire_format`: extensions are items of a group on the wire.
    pub is_message_set: bool,
    /// `deprecated_legacy_json_field_conflicts`: equal JSON names are tolerated for now.
    pub(crate) tolerates_json_conflicts: bool,
}

/// A field of a message, or an extension.
#[derive(Debug)]
pub struct FieldDef {
    /// The field's name; of an extension its full name.
    pub name: Box<str>,
    /// The JSON name; `[full.name]` for an extension.
    pub json_name: Box<str>,
    /// Number on the wire.
    pub number: u32,
    /// Type of the values.
    pub kind: Kind,
    /// Cardinality.
    pub label: Label,
    /// proto2 `required`, or the feature `LEGACY_REQUIRED`.
    pub is_required: bool,
    /// Index into [`MessageDef::oneofs`].
    pub oneof: Option<usize>,
    pub(crate) features: Features,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
}

/// An extension, and the message that it extends.
#[derive(Debug)]
pub struct ExtensionDef {
    /// The extended message.
    pub extendee: MessageId,
    /// The field that the extension adds.
    pub field: FieldDef,
}

/// A oneof of a message.
#[derive(Debug)]
pub struct OneofDef {
    /// Name within the message.
    pub name: Box<str>,
    /// Made by the compiler for one proto3 `optional` field.
    pub is_synthetic: bool,
    pub(crate) features: Features,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
}

/// An enum.
#[derive(Debug)]
pub struct EnumDef {
    /// Full name.
    pub name: Box<str>,
    pub(crate) features: Features,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
    /// In the order of the file; aliases included.
    pub values: Vec<EnumValueDef>,
    /// Numbers and names that no value may have.
    pub reserved: Reserved,
}

/// Numbers and names that no field or value may have again.
#[derive(Debug, Default)]
pub struct Reserved {
    numbers: Vec<RangeInclusive<i64>>,
    names: Vec<String>,
}

/// One name of an enum.
#[derive(Debug)]
pub struct EnumValueDef {
    /// Name within the enum.
    pub name: Box<str>,
    /// Number on the wire.
    pub number: i32,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
}

/// A service.
#[derive(Debug)]
pub struct ServiceDef {
    /// Full name.
    pub name: Box<str>,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
    /// In the order of the file.
    pub methods: Vec<MethodDef>,
}

/// A method of a service.
#[derive(Debug)]
pub struct MethodDef {
    /// `package.Service.Method`.
    pub name: Box<str>,
    /// The request message.
    pub input: MessageId,
    /// The response message.
    pub output: MessageId,
    /// The client sends a stream.
    pub is_client_streaming: bool,
    /// The server sends a stream.
    pub is_server_streaming: bool,
    /// Where it is written.
    pub source: Source,
    /// Its options, encoded.
    pub options: RawOptions,
}

// === impl Pool ===

impl Pool {
    /// Where `element`, whose source this is, is written.
    pub fn place(&self, source: &Source, element: impl Into<Box<str>>) -> Place {
        Place {
            file: self
                .files
                .get(source.file)
                .map_or_else(|| "".into(), |file| file.name.clone()),
            line: source.line,
            column: source.column,
            element: element.into(),
        }
    }

    /// [`Pool::place`], with the line and column where the option of this number is set.
    pub fn place_of_option(
        &self,
        source: &Source,
        element: impl Into<Box<str>>,
        option: i32,
    ) -> Place {
        let (line, column) = source.of_option(option);
        Place {
            line,
            column,
            ..self.place(source, element)
        }
    }

    /// Returns a message by its index.
    pub fn message(&self, id: MessageId) -> &MessageDef {
        &self.messages[id]
    }
}

// === impl Reserved ===

impl Reserved {
    /// Returns whether the number is reserved.
    pub fn has_number(&self, number: i64) -> bool {
        self.numbers.iter().any(|range| range.contains(&number))
    }

    /// Returns whether the name is reserved.
    pub fn has_name(&self, name: &str) -> bool {
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
    /// Returns whether numbers that the enum does not name are unknown fields, instead of values.
    pub fn is_closed(&self) -> bool {
        self.features.enum_type == EnumType::Closed
    }
}

#[cfg(test)]
mod tests;
