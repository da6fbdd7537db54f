//! The kind and the cardinality of a field, which definitions and plans share.

use wire::WireType;

/// Index of a message in [`Types::messages`]: an index and not a reference, because messages contain themselves.
pub type MessageId = usize;
pub type EnumId = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Singular; the default value means absent.
    Implicit,
    /// Singular; presence is tracked.
    Explicit,
    Repeated,
    /// Repeated, and written as one run. Both forms are read.
    Packed,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

// === impl Kind ===

impl Kind {
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

    #[inline]
    pub fn is_packable(self) -> bool {
        !matches!(
            self.wire_type(),
            WireType::Delimited | WireType::StartGroup | WireType::EndGroup
        )
    }
}
