//! The types that the static check knows.

use std::fmt;

use descriptors::{FieldPlan, Kind, Label, MessageId, Shape, Types};

/// The type of an expression, as far as it is known before it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Any type: it shows when the expression runs.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `double`.
    Double,
    /// An exact decimal, which libraries may add.
    Decimal,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// A type as a value, such as `int`.
    Type,
    /// A list.
    List(Box<Type>),
    /// A map.
    Map(Box<Type>, Box<Type>),
    /// A message.
    Message(MessageId),
    /// The caller.
    Identity,
    /// Headers: text by lower-case name.
    Headers,
}

/// Fields of the caller, and whether each may be missing.
pub(crate) const IDENTITY: [&str; 6] = [
    "issuer",
    "subject",
    "tenant",
    "roles",
    "scopes",
    "credential",
];

// === impl Type ===

impl Type {
    /// Returns the type of a field's value.
    pub fn of_field(types: &Types, field: &FieldPlan) -> Self {
        match field.label {
            Label::Repeated | Label::Packed => {
                Type::List(Box::new(Type::of_value(types, field.kind)))
            }
            Label::Map => {
                let entry = field
                    .message()
                    .map(|id| types.message(id).fields.as_slice());
                let Some([key, value, ..]) = entry else {
                    return Type::Dyn;
                };
                let types = [key, value].map(|field| Box::new(Type::of_value(types, field.kind)));
                let [key, value] = types;
                Type::Map(key, value)
            }
            _ => Type::of_value(types, field.kind),
        }
    }

    /// Returns the type of a singular value of a kind.
    pub fn of_value(types: &Types, kind: Kind) -> Self {
        match kind {
            Kind::Double | Kind::Float => Type::Double,
            Kind::Int32
            | Kind::Int64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Enum(_) => Type::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Type::Uint,
            Kind::Bool => Type::Bool,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Message(id) | Kind::Group(id) => Type::of_message(types, id),
        }
    }

    /// Returns the type of a message: well-known ones are values of their own.
    pub fn of_message(types: &Types, id: MessageId) -> Self {
        match types.message(id).shape {
            Shape::Timestamp => Type::Timestamp,
            Shape::Duration => Type::Duration,
            // A wrapper may be null.
            Shape::Wrapper | Shape::Any | Shape::Value => Type::Dyn,
            Shape::Struct => Type::Map(Box::new(Type::String), Box::new(Type::Dyn)),
            Shape::ListValue => Type::List(Box::new(Type::Dyn)),
            Shape::Object | Shape::Empty | Shape::FieldMask => Type::Message(id),
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Uint | Type::Double)
    }

    /// Returns whether a value of one type may be used where the other is expected.
    pub fn fits(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(left), Type::List(right)) => left.fits(right),
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                key.fits(other_key) && value.fits(other_value)
            }
            (left, right) => left == right,
        }
    }

    /// Returns the name for messages about the expression.
    pub fn shown<'t>(&'t self, types: &'t Types) -> Shown<'t> {
        Shown { own: self, types }
    }
}

/// A type with the name of its message.
#[derive(Debug)]
pub struct Shown<'t> {
    own: &'t Type,
    types: &'t Types,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.types;
        let name = match self.own {
            Type::Dyn => "any type",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Decimal => "decimal",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Type => "type",
            Type::Identity => "identity",
            Type::Headers => "metadata",
            Type::Message(id) => &types.message(*id).name,
            Type::List(item) => return write!(formatter, "list of {}", item.shown(types)),
            Type::Map(key, value) => {
                let (key, value) = (key.shown(types), value.shown(types));
                return write!(formatter, "map of {key} to {value}");
            }
        };
        formatter.write_str(name)
    }
}
