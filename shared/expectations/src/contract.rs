//! The part of a contract that expectations are about: methods, fields, enums, comments.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

/// Why a contract or a file can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no descriptor set.
    #[error("no descriptor set")]
    Set(#[from] prost::DecodeError),
    /// The text is no file of expectations.
    #[error("no file of expectations")]
    File(#[from] toml::de::Error),
    /// Expectations can't be written as TOML.
    #[error("cannot write expectations")]
    Write(#[from] toml::ser::Error),
}

/// A contract, by the full names of its parts.
#[derive(Clone, Debug, Default)]
pub struct Contract {
    pub(crate) methods: BTreeMap<String, Method>,
    pub(crate) messages: BTreeMap<String, BTreeMap<u32, Field>>,
    pub(crate) enums: BTreeMap<String, BTreeMap<i32, String>>,
    pub(crate) packages: BTreeSet<String>,
    /// All comments of a package, if it has any.
    pub(crate) comments: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) kind: &'static str,
    pub(crate) input: String,
    pub(crate) output: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) is_list: bool,
    /// Full name of the message or the enum.
    pub(crate) type_name: String,
}

// === impl Contract ===

impl Contract {
    /// Reads an encoded `FileDescriptorSet`.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn load(descriptor_set: &[u8]) -> Result<Self, Error> {
        let set = FileDescriptorSet::decode(descriptor_set)?;
        let mut contract = Self::default();
        for file in &set.file {
            contract.add(file);
        }
        Ok(contract)
    }

    /// Returns whether the contract has a message of this full name. What servers tell of
    /// themselves, by reflection, lacks those that no method reaches.
    pub fn has_message(&self, name: &str) -> bool {
        self.messages.contains_key(name)
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        self.packages.insert(package.to_owned());
        for message in &file.message_type {
            self.add_message(package, message);
        }
        for one in &file.enum_type {
            self.add_enum(package, one);
        }
        for service in &file.service {
            let service_name = joined(package, service.name());
            for method in &service.method {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (false, true) => "server stream",
                    (true, false) => "client stream",
                    (true, true) => "bidirectional stream",
                };
                let found = Method {
                    kind,
                    input: absolute(method.input_type()),
                    output: absolute(method.output_type()),
                };
                self.methods
                    .insert(format!("{service_name}/{}", method.name()), found);
            }
        }
        let source = file.source_code_info.iter();
        for location in source.flat_map(|source| &source.location) {
            let text = location.leading_comments();
            if !text.is_empty() {
                let all = self.comments.entry(package.to_owned()).or_default();
                all.push_str(text);
            }
        }
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = joined(scope, message.name());
        let numbered = message.field.iter().filter_map(|field| {
            let number = u32::try_from(field.number()).ok()?;
            Some((number, field_of(field)))
        });
        self.messages.insert(name.clone(), numbered.collect());
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for nested in &message.enum_type {
            self.add_enum(&name, nested);
        }
    }

    fn add_enum(&mut self, scope: &str, one: &EnumDescriptorProto) {
        let values = one.value.iter();
        let values = values.map(|value| (value.number(), value.name().to_owned()));
        self.enums
            .insert(joined(scope, one.name()), values.collect());
    }
}

fn field_of(field: &FieldDescriptorProto) -> Field {
    Field {
        name: field.name().to_owned(),
        kind: kind(field.r#type()),
        is_list: field.label() == Label::Repeated,
        type_name: absolute(field.type_name()),
    }
}

fn kind(kind: Type) -> &'static str {
    match kind {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Group => "group",
        Type::Message => "message",
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Enum => "enum",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
    }
}

fn joined(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

fn absolute(name: &str) -> String {
    name.trim_start_matches('.').to_owned()
}
