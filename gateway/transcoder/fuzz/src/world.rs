//! The schema that messages are fuzzed with, as the transcoder sees it and as the oracles do.

use std::{collections::HashMap, sync::LazyLock};

use http::Method;
use prost_reflect::{
    Cardinality, DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use transcoder::{Match, Schema};

/// The schema, compiled once.
pub(crate) struct World {
    pub(crate) schema: Schema,
    pub(crate) pool: DescriptorPool,
    types: HashMap<String, Type>,
}

/// A message type as a flat table: extensions are fields.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
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

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::load);

/// The messages that bodies are read as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root {
    pub(crate) message: &'static str,
    pub(crate) path: &'static str,
}

impl Root {
    /// An input begins with the syntax of the message that it is about: `2` for proto2, anything else for proto3.
    pub(crate) fn choose(data: &[u8]) -> (Root, &[u8]) {
        let (first, rest) = data.split_first().unwrap_or((&b'3', &[]));
        let (message, path) = match first {
            b'2' => ("legacy.Old", "/old"),
            _ => ("kitchen.Sink", "/sink"),
        };
        (Root { message, path }, rest)
    }
}

// === impl World ===

impl World {
    fn load() -> World {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/proto");
        let mut compiler = protox::Compiler::new([own, tests]).expect("the directories exist");
        compiler.include_imports(true);
        compiler.open_file("fuzz.proto").expect("it compiles");
        let set = compiler.encode_file_descriptor_set();
        let pool = DescriptorPool::decode(&*set).expect("protox encodes what prost decodes");
        let types = pool.all_messages();
        World {
            schema: Schema::compile(&set).expect("it is valid"),
            types: types
                .map(|message| (message.full_name().to_owned(), Type::of(&message)))
                .collect(),
            pool,
        }
    }

    pub(crate) fn message(&self, name: &str) -> &Type {
        &self.types[name]
    }

    /// The type that an Any's URL names.
    pub(crate) fn by_url(&self, url: &str) -> Option<&Type> {
        let slash = url.rfind('/')?;
        self.types.get(&url[slash + 1..])
    }

    pub(crate) fn route(&self, method: &Method, root: Root) -> Match<'_> {
        let found = self.schema.route(method, root.path);
        found.expect("the schema has this route")
    }

    /// What the transcoder makes of a JSON body.
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
        }
    }

    pub(crate) fn by_number(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    /// By JSON name, else by proto name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Field> {
        let json = self.fields.iter().find(|field| field.json_name == name);
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
            oneof: None,
        }
    }

    /// The name of the message type of its values.
    pub(crate) fn message(&self) -> Option<String> {
        self.kind
            .as_message()
            .map(|message| message.full_name().to_owned())
    }

    /// Whether JSON `null` is a value of its type, and not the absence of one.
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
