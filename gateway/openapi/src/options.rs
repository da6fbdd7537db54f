//! The options of definitions that a document shows.

use descriptors::FieldDef;

/// The part of `google.protobuf.MessageOptions` in question.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Message {
    #[prost(bool, tag = "3")]
    pub(crate) deprecated: bool,
}

/// The part of `google.protobuf.EnumOptions` in question.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Enum {
    #[prost(bool, tag = "3")]
    pub(crate) deprecated: bool,
}

/// The part of `google.protobuf.EnumValueOptions` in question.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct EnumValue {
    #[prost(bool, tag = "1")]
    pub(crate) deprecated: bool,
}

/// The part of `google.protobuf.MethodOptions` in question, and equally of `ServiceOptions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Method {
    #[prost(bool, tag = "33")]
    pub(crate) deprecated: bool,
}

/// The part of `google.protobuf.FieldOptions` in question, with the extension
/// `google.api.field_behavior`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Field {
    #[prost(bool, tag = "3")]
    pub(crate) deprecated: bool,
    #[prost(int32, repeated, tag = "1052")]
    behaviors: Vec<i32>,
}

/// `google.api.FieldBehavior` (AIP-203).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behavior {
    Required = 2,
    OutputOnly = 3,
    InputOnly = 4,
}

/// Malformed options count as absent.
pub(crate) fn field(definition: &FieldDef) -> Field {
    definition.options.decode().unwrap_or_default()
}

impl Field {
    pub(crate) fn has(&self, behavior: Behavior) -> bool {
        self.behaviors.contains(&(behavior as i32))
    }
}
