//! Compiled validation rules: per message, per field and per value, in tables that run parallel to the plans.

use regex::Regex;

use super::known::Format;
use crate::{error::Problem, plan::Kind};

/// The rules of all messages of a schema, by message id.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(super) messages: Vec<MessageRules>,
}

/// What a walk is looking for: a message that has none of it below is passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need(u8);

/// The rules of one message type.
#[derive(Debug, Default)]
pub(super) struct MessageRules {
    /// What is to be found in the message and in all messages below it.
    pub(super) need: Need,
    /// By field index; empty where `need` is.
    pub(super) fields: Box<[FieldRules]>,
    /// Indices of the fields whose values are looked at, ascending.
    pub(super) active: Box<[u32]>,
    pub(super) oneof_count: usize,
    pub(super) required_oneofs: Vec<RequiredOneof>,
    pub(super) choices: Vec<Choice>,
    /// What the contract demands of this message and nothing here checks.
    pub(super) unenforced: Vec<Problem>,
}

/// A oneof of which a member must be set.
#[derive(Debug)]
pub(super) struct RequiredOneof {
    pub(super) name: Box<str>,
    pub(super) members: Vec<u32>,
}

/// Fields of which at most one may be set (`MessageOneofRule`).
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) members: Vec<u32>,
    pub(super) is_required: bool,
    pub(super) at_most_one: Box<str>,
    pub(super) exactly_one: Box<str>,
}

/// What is asked of one field.
#[derive(Debug, Default)]
pub(super) struct FieldRules {
    /// For which walks the field's values are gathered.
    pub(super) collect: Need,
    pub(super) own: Option<Box<OwnRules>>,
}

/// The rules that stand at one field.
#[derive(Debug, Default)]
pub(super) struct OwnRules {
    pub(super) is_required: bool,
    pub(super) value: ValueRules,
    /// On how many elements a list or a map has.
    pub(super) count: Vec<Check>,
    pub(super) unique: Option<Check>,
    /// Of the items of a list, or of the values of a map.
    pub(super) items: ValueRules,
    pub(super) keys: ValueRules,
}

/// The rules of one value: a field, an item, a key.
#[derive(Debug, Default)]
pub(super) struct ValueRules {
    pub(super) ignore: Ignore,
    pub(super) form: Form,
    /// What an enum calls zero: its first value.
    pub(super) first: i32,
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

/// How a field's bytes become the value that its rules are about.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Scalar,
    /// The `value` of a wrapper message.
    Wrapper(Kind),
    /// Seconds and nanoseconds, as nanoseconds.
    Time,
    /// The `type_url` of an Any.
    TypeUrl,
    /// The paths of a FieldMask.
    Paths,
    /// A message that has rules inside and no value to compare.
    Opaque,
}

/// One rule with the words for its violation.
#[derive(Debug)]
pub(super) struct Check {
    /// Id of protovalidate, for example `string.min_len`.
    pub(super) id: Box<str>,
    pub(super) text: Box<str>,
    pub(super) test: Test,
}

/// What a value is tested for.
#[derive(Debug)]
pub(super) enum Test {
    In(Vec<Constant>),
    NotIn(Vec<Constant>),
    Within(Bounds),
    Finite,
    Length(Unit, u64, u64),
    Matches(Regex),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    NotContains(Box<[u8]>),
    /// One of these numbers, sorted.
    Defined(Box<[i32]>),
    /// Empty or of this format: emptiness has a rule id of its own.
    Format(Format),
    /// Empty or of one of these sizes.
    Sizes(&'static [usize]),
    NotEmpty,
    BeforeNow,
    AfterNow,
    /// No further from now than so many nanoseconds.
    NearNow(i128),
    PathsEqual(Vec<Box<str>>),
    PathsWithin(Vec<Box<str>>),
    PathsOutside(Vec<Box<str>>),
    /// The elements differ from each other; it is tested while the list is read.
    Unique,
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Characters,
    Bytes,
    Elements,
}

/// A value that a rule names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Int(i128),
    Real(f64),
    /// Text too.
    Bytes(Box<[u8]>),
}

/// Limits of a number; the flag says whether the limit itself is allowed.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) lower: Option<(Constant, bool)>,
    pub(super) upper: Option<(Constant, bool)>,
}

// === impl Need ===

impl Need {
    /// Fields and oneofs that have rules.
    pub(super) const RULES: Need = Need(1);
    /// Text, which must not hold U+0000 where the options say so.
    pub(super) const TEXT: Need = Need(2);
    pub(super) const ALL: Need = Need(3);

    pub(super) fn and(self, other: Need) -> Need {
        Need(self.0 & other.0)
    }

    pub(super) fn or(self, other: Need) -> Need {
        Need(self.0 | other.0)
    }

    pub(super) fn meets(self, other: Need) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}
