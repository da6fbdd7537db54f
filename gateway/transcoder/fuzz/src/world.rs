//! The schema that messages are fuzzed with, as the transcoder sees it and as the oracles do.

mod choice;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{LazyLock, OnceLock};

use http::Method;
use prost_reflect::prost_types::MessageOptions;
use prost_reflect::{
    Cardinality, DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use transcoder::{Match, Options, Schema};

use crate::message::read::DOTTED_NAME;
use crate::message::{Datum, Record, Refusal};

pub(crate) use choice::{Choice, Root, Style};

pub(crate) const REQUIRED: Refusal = "a required field is missing";

/// The schema as it is compiled with one style.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) schema: &'static Schema,
    pub(crate) style: Style,
    common: &'static Common,
}

/// The parts that do not depend on the style.
pub(crate) struct Common {
    pub(crate) pool: DescriptorPool,
    types: HashMap<String, Type>,
    set: Vec<u8>,
    schemas: [OnceLock<Schema>; Style::COUNT],
}

static COMMON: LazyLock<Common> = LazyLock::new(Common::load);

/// A message type as a flat table: extensions are fields.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    /// Extensions are items of a group.
    pub(crate) is_message_set: bool,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) json_name: String,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// Present also with the default value.
    pub(crate) has_presence: bool,
    pub(crate) is_required: bool,
    pub(crate) oneof: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Group,
    List,
    GroupList,
    Map,
}

// === impl World ===

impl World {
    pub(crate) fn of(style: Style) -> World {
        let common = &*COMMON;
        let compile = || {
            let options = Options {
                json: style.options(),
                ..Options::default()
            };
            Schema::compile_with(&common.set, options).expect("it is valid")
        };
        World {
            schema: common.schemas[style.index()].get_or_init(compile),
            style,
            common,
        }
    }

    pub(crate) fn route(&self, method: &Method, root: Root) -> Match<'static> {
        let found = self.schema.route(method, root.path);
        found.expect("the schema has this route")
    }

    /// Returns the wire bytes that the transcoder writes for a JSON body.
    pub(crate) fn encode(
        &self,
        root: Root,
        body: &[u8],
    ) -> Result<Vec<u8>, transcoder::RequestError> {
        let mut wire = b"before".to_vec();
        let encoded = self
            .route(&Method::POST, root)
            .encode_request(None, body, &mut wire);
        assert!(wire.starts_with(b"before"), "what was there is gone");
        let wire = wire.split_off(b"before".len());
        assert!(encoded.is_ok() || wire.is_empty(), "a failure leaves bytes");
        encoded.map(|()| wire)
    }
}

impl Deref for World {
    type Target = Common;

    fn deref(&self) -> &Common {
        self.common
    }
}

// === impl Common ===

impl Common {
    fn load() -> Common {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/proto");
        let mut compiler = protox::Compiler::new([own, tests]).expect("the directories exist");
        compiler.include_imports(true);
        compiler.open_file("fuzz.proto").expect("it compiles");
        let set = compiler.encode_file_descriptor_set();
        let pool = DescriptorPool::decode(&*set).expect("protox encodes what prost decodes");
        let types = pool.all_messages();
        Common {
            types: types
                .map(|message| (message.full_name().to_owned(), Type::of(&message)))
                .collect(),
            pool,
            set,
            schemas: [const { OnceLock::new() }; Style::COUNT],
        }
    }

    pub(crate) fn message(&self, name: &str) -> &Type {
        &self.types[name]
    }

    /// Returns a message, unless a required field is missing in it or below; what is in an Any
    /// counts for nothing.
    pub(crate) fn complete(&self, kind: &Type, record: Record) -> Result<Record, Refusal> {
        match self.lacks_required(kind, &record) {
            true => Err(REQUIRED),
            false => Ok(record),
        }
    }

    fn lacks_required(&self, kind: &Type, record: &Record) -> bool {
        kind.fields
            .iter()
            .any(|field| match record.0.get(&field.number) {
                None => field.is_required,
                Some(datum) => self.is_incomplete(&field.kind, datum),
            })
    }

    fn is_incomplete(&self, kind: &Kind, datum: &Datum) -> bool {
        let Kind::Message(message) = kind else {
            return false;
        };
        match datum {
            Datum::Message(record) => {
                self.lacks_required(self.message(message.full_name()), record)
            }
            Datum::List(elements) => elements.iter().any(|one| self.is_incomplete(kind, one)),
            Datum::Map(entries) => {
                let value = message.map_entry_value_field().kind();
                entries.values().any(|one| self.is_incomplete(&value, one))
            }
            _ => false,
        }
    }

    /// Returns the type that an Any's URL names.
    pub(crate) fn by_url(&self, url: &str) -> Result<&Type, Refusal> {
        let (_, name) = url.rsplit_once('/').ok_or("no URL of a type")?;
        match self.types.get(name) {
            Some(kind) => Ok(kind),
            None if name.starts_with('.') => Err(DOTTED_NAME),
            None => Err("no such type"),
        }
    }
}

// === impl Type ===

impl Type {
    fn of(message: &MessageDescriptor) -> Type {
        let own = message.fields().map(|field| Field::of(&field));
        let extensions = message
            .extensions()
            .map(|field| Field::of_extension(&field));
        Type {
            name: message.full_name().to_owned(),
            fields: own.chain(extensions).collect(),
            is_message_set: message
                .descriptor_proto()
                .options
                .as_ref()
                .is_some_and(MessageOptions::message_set_wire_format),
        }
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// By JSON name, else by proto name; where names are strict, by the one that responses show.
    pub(crate) fn by_name(&self, name: &str, style: Style) -> Option<&Field> {
        let mut fields = self.fields.iter();
        if style.has_strict_names {
            return fields.find(|field| field.shown_name(style) == name);
        }
        let json = fields.find(|field| field.json_name == name);
        json.or_else(|| self.fields.iter().find(|field| field.name == name))
    }
}

// === impl Field ===

impl Field {
    fn of(field: &FieldDescriptor) -> Field {
        let oneof = field
            .containing_oneof()
            .filter(|oneof| !oneof.is_synthetic());
        Field {
            number: field.number(),
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            kind: field.kind(),
            shape: Shape::of(field.cardinality(), field.is_map(), field.is_group()),
            has_presence: field.supports_presence(),
            is_required: field.cardinality() == Cardinality::Required,
            oneof: oneof.map(|oneof| oneof.name().to_owned()),
        }
    }

    fn of_extension(field: &ExtensionDescriptor) -> Field {
        let name = format!("[{}]", field.full_name());
        Field {
            number: field.number(),
            name: name.clone(),
            json_name: name,
            kind: field.kind(),
            shape: Shape::of(field.cardinality(), false, field.is_group()),
            has_presence: true,
            is_required: false,
            oneof: None,
        }
    }

    /// Returns the name that responses show.
    pub(crate) fn shown_name(&self, style: Style) -> &str {
        match style.shows_proto_names {
            true => &self.name,
            false => &self.json_name,
        }
    }

    pub(crate) fn is_extension(&self) -> bool {
        self.name.starts_with('[')
    }

    /// Returns whether its type is a closed enum without this number, which makes an occurrence an
    /// unknown field.
    pub(crate) fn is_stray(&self, number: i64) -> bool {
        is_stray(&self.kind, number)
    }

    /// Returns the name of the message type of its values.
    pub(crate) fn message(&self) -> Option<String> {
        self.kind
            .as_message()
            .map(|message| message.full_name().to_owned())
    }

    /// Returns whether JSON `null` is a value of its type, and not the absence of one.
    pub(crate) fn takes_null(&self) -> bool {
        match &self.kind {
            Kind::Enum(kind) => kind.full_name() == "google.protobuf.NullValue",
            Kind::Message(kind) => kind.full_name() == "google.protobuf.Value",
            _ => false,
        }
    }

    /// Key and value of the entries of a map.
    pub(crate) fn entry<'w>(&self, world: &'w World) -> (&'w Field, &'w Field) {
        let entry = world.message(&self.message().expect("a map has entries"));
        let by_number = |number| entry.by_number(number).expect("an entry has key and value");
        (by_number(1), by_number(2))
    }
}

// === impl Shape ===

impl Shape {
    fn of(cardinality: Cardinality, is_map: bool, is_group: bool) -> Shape {
        match (is_map, cardinality == Cardinality::Repeated, is_group) {
            (true, _, _) => Shape::Map,
            (_, true, true) => Shape::GroupList,
            (_, true, false) => Shape::List,
            (_, false, true) => Shape::Group,
            (_, false, false) => Shape::Single,
        }
    }

    pub(crate) fn is_single(self) -> bool {
        matches!(self, Shape::Single | Shape::Group)
    }

    pub(crate) fn is_group(self) -> bool {
        matches!(self, Shape::Group | Shape::GroupList)
    }
}

/// Returns whether the type is a closed enum without this number. Enums of proto2 are closed, and
/// no other is here.
pub(crate) fn is_stray(kind: &Kind, number: i64) -> bool {
    let Kind::Enum(kind) = kind else { return false };
    let is_closed = kind.parent_file().syntax() == prost_reflect::Syntax::Proto2;
    is_closed
        && !kind
            .values()
            .any(|value| i64::from(value.number()) == number)
}
