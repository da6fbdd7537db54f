//! The options of definitions that a document shows.

use descriptors::FieldDef;

/// The part of `google.protobuf.MessageOptions` in question.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Message {
    #[prost(bool, tag = "3")]
    pub(super) deprecated: bool,
}

/// Of `google.protobuf.EnumOptions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Enum {
    #[prost(bool, tag = "3")]
    pub(super) deprecated: bool,
}

/// Of `google.protobuf.EnumValueOptions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct EnumValue {
    #[prost(bool, tag = "1")]
    pub(super) deprecated: bool,
}

/// Of `google.protobuf.MethodOptions`, and equally of `ServiceOptions`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Method {
    #[prost(bool, tag = "33")]
    pub(super) deprecated: bool,
}

/// Of `google.protobuf.FieldOptions`, with the extension `google.api.field_behavior`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Field {
    #[prost(bool, tag = "3")]
    pub(super) deprecated: bool,
    #[prost(int32, repeated, tag = "1052")]
    behaviors: Vec<i32>,
}

/// `google.api.FieldBehavior` (AIP-203).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    Required = 2,
    OutputOnly = 3,
    InputOnly = 4,
}

/// What can't be read says nothing.
pub(super) fn field(definition: &FieldDef) -> Field {
    definition.options.decode().unwrap_or_default()
}

impl Field {
    pub(super) fn has(&self, behavior: Behavior) -> bool {
        self.behaviors.contains(&(behavior as i32))
    }
}
