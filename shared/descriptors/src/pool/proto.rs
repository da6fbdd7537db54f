//! The parts of `google/protobuf/descriptor.proto` that a schema is compiled from, as they lie on
//! the wire.
#![allow(
    missing_docs,
    reason = "the fields are those of descriptor.proto, under their names"
)]

use prost::Message;
use prost::bytes::{Bytes, BytesMut};

/// `FileDescriptorSet`, its files still encoded: equal bytes are how two copies of one file are
/// told from a conflict.
#[derive(Clone, PartialEq, Message)]
pub struct FileSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub files: Vec<Bytes>,
}

/// `FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct File {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub package: String,
    #[prost(string, repeated, tag = "3")]
    pub dependencies: Vec<String>,
    #[prost(int32, repeated, packed = "false", tag = "11")]
    pub weak_dependencies: Vec<i32>,
    #[prost(message, repeated, tag = "4")]
    pub messages: Vec<MessageType>,
    #[prost(message, repeated, tag = "5")]
    pub enums: Vec<EnumType>,
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    pub extensions: Vec<Field>,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub options: Vec<Bytes>,
    #[prost(message, optional, tag = "9")]
    pub source_code_info: Option<SourceCodeInfo>,
    #[prost(string, tag = "12")]
    pub syntax: String,
    #[prost(int32, tag = "14")]
    pub edition: i32,
}

/// `DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct MessageType {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    pub messages: Vec<MessageType>,
    #[prost(message, repeated, tag = "4")]
    pub enums: Vec<EnumType>,
    #[prost(message, repeated, tag = "5")]
    pub extension_ranges: Vec<ExtensionRange>,
    #[prost(message, repeated, tag = "6")]
    pub extensions: Vec<Field>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub options: Vec<Bytes>,
    #[prost(message, repeated, tag = "8")]
    pub oneofs: Vec<Oneof>,
    #[prost(message, repeated, tag = "9")]
    pub reserved_ranges: Vec<ReservedRange>,
    #[prost(string, repeated, tag = "10")]
    pub reserved_names: Vec<String>,
}

/// `DescriptorProto.ReservedRange`, whose end is exclusive, and
/// `EnumDescriptorProto.EnumReservedRange`, whose end is inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ReservedRange {
    #[prost(int32, tag = "1")]
    pub start: i32,
    #[prost(int32, tag = "2")]
    pub end: i32,
}

/// `DescriptorProto.ExtensionRange`: field numbers from `start` to before `end`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ExtensionRange {
    #[prost(int32, tag = "1")]
    pub start: i32,
    #[prost(int32, tag = "2")]
    pub end: i32,
}

/// `FieldDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Field {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub extendee: String,
    #[prost(int32, tag = "3")]
    pub number: i32,
    #[prost(int32, tag = "4")]
    pub label: i32,
    #[prost(int32, tag = "5")]
    pub kind: i32,
    #[prost(string, tag = "6")]
    pub type_name: String,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub options: Vec<Bytes>,
    #[prost(int32, optional, tag = "9")]
    pub oneof_index: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub json_name: Option<String>,
    #[prost(bool, tag = "17")]
    pub proto3_optional: bool,
}

/// `FieldDescriptorProto.Label`.
pub mod label {
    pub const OPTIONAL: i32 = 1;
    pub const REQUIRED: i32 = 2;
    pub const REPEATED: i32 = 3;
}

/// `FieldDescriptorProto.Type`, as far as it is told apart by name; the scalars stand in the one
/// table that maps them.
pub mod kind {
    pub const GROUP: i32 = 10;
    pub const MESSAGE: i32 = 11;
    pub const ENUM: i32 = 14;
}

/// `OneofDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Oneof {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub options: Vec<Bytes>,
}

/// `EnumDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct EnumType {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<EnumValue>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub options: Vec<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub reserved_ranges: Vec<ReservedRange>,
    #[prost(string, repeated, tag = "5")]
    pub reserved_names: Vec<String>,
}

/// `EnumValueDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct EnumValue {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int32, tag = "2")]
    pub number: i32,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub options: Vec<Bytes>,
}

/// `ServiceDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Service {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub methods: Vec<Method>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub options: Vec<Bytes>,
}

/// `MethodDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Method {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub input_type: String,
    #[prost(string, tag = "3")]
    pub output_type: String,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub options: Vec<Bytes>,
    #[prost(bool, tag = "5")]
    pub client_streaming: bool,
    #[prost(bool, tag = "6")]
    pub server_streaming: bool,
}

/// `SourceCodeInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct SourceCodeInfo {
    #[prost(message, repeated, tag = "1")]
    pub locations: Vec<Location>,
}

/// `SourceCodeInfo.Location`.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    #[prost(int32, repeated, tag = "1")]
    pub path: Vec<i32>,
    /// Start line (counted from zero), start column, and the end.
    #[prost(int32, repeated, tag = "2")]
    pub span: Vec<i32>,
    #[prost(string, optional, tag = "3")]
    pub leading_comments: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub trailing_comments: Option<String>,
}

/// Field numbers inside the descriptor messages: what [`Location::path`] is made of.
pub mod path {
    pub const FILE_MESSAGE: i32 = 4;
    pub const FILE_ENUM: i32 = 5;
    pub const FILE_SERVICE: i32 = 6;
    pub const FILE_EXTENSION: i32 = 7;
    pub const FILE_OPTIONS: i32 = 8;
    pub const FILE_DEPENDENCY: i32 = 3;
    pub const FILE_SYNTAX: i32 = 12;
    pub const FILE_EDITION: i32 = 14;
    pub const MESSAGE_FIELD: i32 = 2;
    pub const MESSAGE_MESSAGE: i32 = 3;
    pub const MESSAGE_ENUM: i32 = 4;
    pub const MESSAGE_EXTENSION: i32 = 6;
    pub const MESSAGE_OPTIONS: i32 = 7;
    pub const MESSAGE_ONEOF: i32 = 8;
    pub const FIELD_OPTIONS: i32 = 8;
    pub const ONEOF_OPTIONS: i32 = 2;
    pub const ENUM_VALUE: i32 = 2;
    pub const ENUM_OPTIONS: i32 = 3;
    pub const ENUM_VALUE_OPTIONS: i32 = 3;
    pub const SERVICE_METHOD: i32 = 2;
    pub const SERVICE_OPTIONS: i32 = 3;
    pub const METHOD_OPTIONS: i32 = 4;
}

/// The options of one element, encoded: each reader decodes the few fields it knows, and nothing is
/// lost on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawOptions(Bytes);

// === impl RawOptions ===

impl RawOptions {
    /// Occurrences of a singular message merge, and encodings merge by being put one after another.
    pub(super) fn merged(occurrences: &[Bytes]) -> Self {
        match occurrences {
            [] => RawOptions::default(),
            [one] => RawOptions(one.clone()),
            many => {
                let mut all = BytesMut::new();
                many.iter().for_each(|bytes| all.extend_from_slice(bytes));
                RawOptions(all.freeze())
            }
        }
    }

    /// As encoded; empty where the element has no options.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the fields that `M` declares; the others are skipped.
    ///
    /// # Errors
    /// The bytes are not protobuf, or one of those fields has another type on the wire.
    pub fn decode<M: Message + Default>(&self) -> Result<M, prost::DecodeError> {
        M::decode(self.0.clone())
    }
}
