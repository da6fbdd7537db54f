//! The kind and the cardinality of a field, which definitions and plans share.

use wire::WireType;

/// Index of a message in [`Types::messages`]: an index and not a reference, because messages
/// contain themselves.
pub type MessageId = usize;
/// Index of an enum in [`Types::enums`](crate::Types::enums).
pub type EnumId = usize;

/// How many values a field has, and what its absence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Singular; the default value means absent.
    Implicit,
    /// Singular; presence is tracked.
    Explicit,
    /// A list whose elements stand one by one on the wire.
    Repeated,
    /// Repeated, and written as one run. Both forms are read.
    Packed,
    /// A map: a list of entries, which are messages of a key and a value.
    Map,
}

/// The type of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `double`.
    Double,
    /// `float`.
    Float,
    /// `int32`.
    Int32,
    /// `int64`.
    Int64,
    /// `uint32`.
    Uint32,
    /// `uint64`.
    Uint64,
    /// `sint32`.
    Sint32,
    /// `sint64`.
    Sint64,
    /// `fixed32`.
    Fixed32,
    /// `fixed64`.
    Fixed64,
    /// `sfixed32`.
    Sfixed32,
    /// `sfixed64`.
    Sfixed64,
    /// `bool`.
    Bool,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// An enum.
    Enum(EnumId),
    /// A message after its length.
    Message(MessageId),
    /// A message between a start tag and an end tag.
    Group(MessageId),
}

// === impl Kind ===

impl Kind {
    /// Returns the number in `google.protobuf.FieldDescriptorProto.Type`.
    pub fn number(self) -> i32 {
        match self {
            Kind::Double => 1,
            Kind::Float => 2,
            Kind::Int64 => 3,
            Kind::Uint64 => 4,
            Kind::Int32 => 5,
            Kind::Fixed64 => 6,
            Kind::Fixed32 => 7,
            Kind::Bool => 8,
            Kind::String => 9,
            Kind::Group(_) => 10,
            Kind::Message(_) => 11,
            Kind::Bytes => 12,
            Kind::Uint32 => 13,
            Kind::Enum(_) => 14,
            Kind::Sfixed32 => 15,
            Kind::Sfixed64 => 16,
            Kind::Sint32 => 17,
            Kind::Sint64 => 18,
        }
    }

    /// Returns the wire type of a single value.
    #[inline]
    pub fn wire_type(self) -> WireType {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Fixed32,
            Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Delimited,
            Kind::Group(_) => WireType::StartGroup,
            _ => WireType::Varint,
        }
    }

    /// Returns whether values can stand in a packed run.
    #[inline]
    pub fn is_packable(self) -> bool {
        !matches!(
            self.wire_type(),
            WireType::Delimited | WireType::StartGroup | WireType::EndGroup
        )
    }
}
