//! Compiled validation rules: per message, per field and per value, in tables that run parallel to the plans.

use super::{known::Format, marks::Marks, pattern::Pattern, quick::Quick, set::Set};
use crate::{error::Problem, plan::Kind};

/// The rules of all messages of a schema, by message id.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) messages: Vec<MessageRules>,
}

/// What a walk is looking for: a message that has none of it below is passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Need(u8);

/// The rules of one message type.
#[derive(Debug, Default)]
pub(crate) struct MessageRules {
    /// What is to be found in the message and in all messages below it.
    pub(crate) need: Need,
    /// By field index; empty where `need` is.
    pub(crate) fields: Box<[FieldRules]>,
    /// Indices of the fields whose values are looked at, ascending.
    pub(crate) active: Box<[u32]>,
    pub(crate) oneof_count: usize,
    pub(crate) required_oneofs: Vec<RequiredOneof>,
    pub(crate) choices: Vec<Choice>,
    /// For the fast path; `None` where it can't take the message.
    pub(crate) marks: Option<Marks>,
    /// What the contract demands of this message and nothing here checks.
    pub(crate) unenforced: Vec<Problem>,
}

/// A oneof of which a member must be set.
#[derive(Debug)]
pub(crate) struct RequiredOneof {
    pub(crate) name: Box<str>,
    pub(crate) members: Vec<u32>,
}

/// Fields of which at most one may be set (`MessageOneofRule`).
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) members: Vec<u32>,
    pub(crate) is_required: bool,
    pub(crate) at_most_one: Box<str>,
    pub(crate) exactly_one: Box<str>,
}

/// What is asked of one field.
#[derive(Debug, Default)]
pub(crate) struct FieldRules {
    /// For which walks the field's values are gathered.
    pub(crate) collect: Need,
    /// The field's own bit in [`Marks`].
    pub(crate) bit: u128,
    /// What must not have come before: the field itself, where that would change what is said of it, and the other members of
    /// its oneof.
    pub(crate) rivals: u128,
    pub(crate) own: Option<Box<OwnRules>>,
}

/// The rules that stand at one field.
#[derive(Debug, Default)]
pub(crate) struct OwnRules {
    pub(crate) is_required: bool,
    pub(crate) value: ValueRules,
    /// On how many elements a list or a map has.
    pub(crate) count: Vec<Check>,
    pub(crate) unique: Option<Check>,
    /// Of the items of a list, or of the values of a map.
    pub(crate) items: ValueRules,
    pub(crate) keys: ValueRules,
}

/// The rules of one value: a field, an item, a key.
#[derive(Debug, Default)]
pub(crate) struct ValueRules {
    pub(crate) ignore: Ignore,
    pub(crate) form: Form,
    /// What an enum calls zero: its first value.
    pub(crate) first: i32,
    pub(crate) checks: Vec<Check>,
    /// Of `checks`.
    pub(crate) quick: Quick,
}

/// When rules are passed over (`buf.validate.Ignore`).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignore {
    #[default]
    Never,
    IfZero,
    Always,
}

/// How a field's bytes become the value that its rules are about.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
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
pub(crate) struct Check {
    /// Id of protovalidate, for example `string.min_len`.
    pub(crate) id: Box<str>,
    pub(crate) text: Box<str>,
    pub(crate) test: Test,
}

/// What a value is tested for.
#[derive(Debug)]
pub(crate) enum Test {
    In(Set),
    NotIn(Set),
    Within(Bounds),
    Finite,
    Length(Unit, u64, u64),
    Matches {
        pattern: Pattern,
        /// As the contract has it.
        source: Box<str>,
    },
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
pub(crate) enum Unit {
    Characters,
    Bytes,
    Elements,
}

/// A value that a rule names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Bool(bool),
    Int(i128),
    Real(f64),
    /// Text too.
    Bytes(Box<[u8]>),
}

/// Limits of a number; the flag says whether the limit itself is allowed.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) lower: Option<(Constant, bool)>,
    pub(crate) upper: Option<(Constant, bool)>,
}

// === impl Need ===

impl Need {
    /// Fields and oneofs that have rules.
    pub(crate) const RULES: Need = Need(1);
    /// Text, which must not hold U+0000 where the options say so.
    pub(crate) const TEXT: Need = Need(2);
    pub(crate) const ALL: Need = Need(3);

    pub(crate) fn and(self, other: Need) -> Need {
        Need(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Need) -> Need {
        Need(self.0 | other.0)
    }

    pub(crate) fn meets(self, other: Need) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}
