//! Compiled validation rules: what a message, a field and a value are tested for.

use std::ops::RangeInclusive;

use prost_reflect::{EnumDescriptor, FieldDescriptor, OneofDescriptor, Value};
use regex::Regex;

/// The rules of one message type.
#[derive(Debug)]
pub(super) struct MessageRules {
    pub(super) fields: Vec<FieldRules>,
    pub(super) required_oneofs: Vec<OneofDescriptor>,
}

/// The rules of one field.
#[derive(Debug)]
pub(super) struct FieldRules {
    pub(super) field: FieldDescriptor,
    pub(super) required: bool,
    pub(super) value: ValueRules,
    pub(super) elements: Elements,
}

/// The rules of what a repeated field or a map holds.
#[derive(Debug)]
pub(super) enum Elements {
    None,
    Items(ValueRules),
    Pairs {
        keys: ValueRules,
        values: ValueRules,
    },
}

/// The rules of one value: a field, an item, a key.
#[derive(Debug, Default)]
pub(super) struct ValueRules {
    pub(super) ignore: Ignore,
    pub(super) checks: Vec<Check>,
}

/// When rules are passed over (`buf.validate.Ignore`).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignore {
    #[default]
    Never,
    IfZero,
    Always,
}

/// One rule with the words for its violation.
#[derive(Debug)]
pub(super) struct Check {
    /// Id of protovalidate, for example `string.min_len`.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) test: Test,
}

/// What a value is tested for.
#[derive(Debug)]
pub(super) enum Test {
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Within(Bounds),
    Finite,
    Length(Unit, RangeInclusive<u64>),
    Matches(Regex),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Vec<u8>),
    NotContains(Vec<u8>),
    Defined(EnumDescriptor),
    Unique,
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Characters,
    Bytes,
    Elements,
}

/// Limits of a number; the flag says whether the limit itself is allowed.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) lower: Option<(Value, bool)>,
    pub(super) upper: Option<(Value, bool)>,
}

// === impl MessageRules ===

impl MessageRules {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.required_oneofs.is_empty()
    }
}
