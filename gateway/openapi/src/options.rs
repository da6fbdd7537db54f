//! The options of definitions that a document shows.

use descriptors::{FieldDef, quoted};

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

/// The part of `google.protobuf.FieldOptions` with the examples of `buf.validate.field`.
#[derive(Clone, PartialEq, prost::Message)]
struct Validated {
    #[prost(message, optional, tag = "1159")]
    rules: Option<FieldRules>,
}

/// The part of `buf.validate.FieldRules` with examples in common use.
#[derive(Clone, PartialEq, prost::Message)]
struct FieldRules {
    #[prost(message, optional, tag = "3")]
    int32: Option<Int32Rules>,
    #[prost(message, optional, tag = "4")]
    int64: Option<Int64Rules>,
    #[prost(message, optional, tag = "14")]
    string: Option<StringRules>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Int32Rules {
    #[prost(int32, repeated, tag = "8")]
    example: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Int64Rules {
    #[prost(int64, repeated, tag = "9")]
    example: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StringRules {
    #[prost(string, repeated, tag = "34")]
    example: Vec<String>,
}

/// Returns the examples that the rules of a field name, as JSON.
pub(crate) fn field_examples(definition: &FieldDef) -> Vec<String> {
    let options: Validated = definition.options.decode().unwrap_or_default();
    let rules = options.rules.unwrap_or_default();
    let small = rules.int32.unwrap_or_default().example;
    let small = small.into_iter().map(|number| number.to_string());
    let large = rules.int64.unwrap_or_default().example;
    let large = large.into_iter().map(|number| number.to_string());
    let texts = rules.string.unwrap_or_default().example;
    let texts = texts.iter().map(|text| quoted(text));
    small.chain(large).chain(texts).collect()
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
