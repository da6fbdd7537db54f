//! Compiled validation rules: per message, per field and per value, in tables that run parallel to
//! the plans.

use descriptors::{Kind, Problem};

use super::cel::CelRule;
use super::known::Format;
use super::marks::Marks;
use super::pattern::Pattern;
use super::quick::Quick;
use super::set::Set;
use crate::options::Clock;

/// The rules of all messages of a schema, by message id.
#[derive(Debug, Default)]
pub struct Rules {
    /// The rules of each message.
    pub messages: Vec<MessageRules>,
    pub(crate) clock: Option<Clock>,
}

/// The kinds of rules that a walk looks for: messages without any below them are skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Need(u8);

/// The rules of one message type.
#[derive(Debug, Default)]
pub struct MessageRules {
    /// The needs of the message and of all messages below it.
    pub(crate) need: Need,
    /// By field index; empty where `need` is.
    pub fields: Box<[FieldRules]>,
    /// Indices of the inspected fields, ascending.
    pub(crate) active: Box<[u32]>,
    pub(crate) oneof_count: usize,
    /// Oneofs of which a member must be set.
    pub required_oneofs: Vec<RequiredOneof>,
    /// Fields of which at most one may be set.
    pub choices: Vec<Choice>,
    /// Rules in CEL about the message as a whole.
    pub cel: Vec<CelRule>,
    /// For the fast path; `None` where it can't take the message.
    pub(crate) marks: Option<Marks>,
    /// Rules of this message that are not enforced.
    pub(crate) unenforced: Vec<Problem>,
}

/// A oneof of which a member must be set.
#[derive(Debug)]
pub struct RequiredOneof {
    /// Name of the oneof.
    pub name: Box<str>,
    /// Indices of the fields, ascending.
    pub members: Vec<u32>,
}

/// Fields of which at most one may be set (`MessageOneofRule`).
#[derive(Debug)]
pub struct Choice {
    /// Indices of the fields, ascending.
    pub members: Vec<u32>,
    /// One of them must be set.
    pub is_required: bool,
    pub(crate) at_most_one: Box<str>,
    pub(crate) exactly_one: Box<str>,
}

/// The rules of one field.
#[derive(Debug, Default)]
pub struct FieldRules {
    /// For which walks the field's values are gathered.
    pub(crate) collect: Need,
    /// The field's own bit in [`Marks`].
    pub(crate) bit: u128,
    /// Fields that must not have come before: the field itself, where that would change the answer
    /// about it, and the other members of its oneof.
    pub(crate) rivals: u128,
    /// Values are confidential: keys of the map stay out of paths.
    pub(crate) is_confidential: bool,
    /// The rules that the contract writes at the field.
    pub own: Option<Box<OwnRules>>,
}

/// The rules that stand at one field.
#[derive(Debug, Default)]
pub struct OwnRules {
    /// The field must be set.
    pub is_required: bool,
    /// Rules of the value of a singular field.
    pub value: ValueRules,
    /// Rules on the number of elements of a list or a map.
    pub count: Vec<Check>,
    /// The elements of a list must differ from each other.
    pub unique: Option<Check>,
    /// Rules of the items of a list, or of the values of a map.
    pub items: ValueRules,
    /// Rules of the keys of a map.
    pub keys: ValueRules,
    /// The encoded path of the rule `required`.
    pub(crate) required_path: Box<[u8]>,
}

/// The rules of one value: a field, an item, a key.
#[derive(Debug, Default)]
pub struct ValueRules {
    /// When the rules are passed over.
    pub ignore: Ignore,
    pub(crate) form: Form,
    /// The zero of an enum: its first value.
    pub(crate) first: i32,
    /// The rules.
    pub checks: Vec<Check>,
    /// Rules in CEL; of a list or a map as a whole where these are the rules of its field.
    pub cel: Vec<CelRule>,
    /// The fast form of `checks`.
    pub(crate) quick: Quick,
}

/// When rules are passed over (`buf.validate.Ignore`).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    #[default]
    /// The rules always apply.
    Never,
    /// They don't apply to the default value.
    IfZero,
    /// They never apply.
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
pub struct Check {
    /// Id of protovalidate, for example `string.min_len`.
    pub id: Box<str>,
    /// The requirement in English, such as `must be at most 5 characters`.
    pub text: Box<str>,
    /// The test.
    pub test: Test,
    /// The encoded path of the rule.
    pub(crate) path: Box<[u8]>,
}

/// The test of a rule.
#[derive(Debug)]
pub enum Test {
    /// One of these values.
    In(Set),
    /// None of these values.
    NotIn(Set),
    /// A number within limits.
    Within(Bounds),
    /// Neither infinite nor NaN.
    Finite,
    /// A least and a most length.
    Length(Unit, u64, u64),
    /// Matches a pattern.
    Matches {
        /// The compiled pattern.
        pattern: Pattern,
        /// As the contract has it.
        source: Box<str>,
    },
    /// Begins with these bytes.
    Prefix(Box<[u8]>),
    /// Ends with these bytes.
    Suffix(Box<[u8]>),
    /// Contains these bytes.
    Contains(Box<[u8]>),
    /// Doesn't contain these bytes.
    NotContains(Box<[u8]>),
    /// One of these numbers, sorted.
    Defined(Box<[i32]>),
    /// Empty, or of this format: emptiness has its own rule id.
    Format(Format),
    /// Empty or of one of these sizes.
    Sizes(&'static [usize]),
    /// Not empty.
    NotEmpty,
    /// A time in the past.
    BeforeNow,
    /// A time in the future.
    AfterNow,
    /// No further from now than so many nanoseconds.
    NearNow(i128),
    /// Exactly these paths of a field mask.
    PathsEqual(Vec<Box<str>>),
    /// No path but these or below them.
    PathsWithin(Vec<Box<str>>),
    /// None of these paths and nothing below them.
    PathsOutside(Vec<Box<str>>),
    /// The elements differ from each other; it is tested while the list is read.
    Unique,
}

/// The unit of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Unicode characters.
    Characters,
    /// Bytes.
    Bytes,
    /// Elements of a list, or entries of a map.
    Elements,
}

/// A value that a rule names.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// A boolean.
    Bool(bool),
    /// An integer of any type; times and durations in nanoseconds.
    Int(i128),
    /// A floating-point number.
    Real(f64),
    /// Text too.
    Bytes(Box<[u8]>),
}

/// Limits of a number; the flag says whether the limit itself is allowed.
#[derive(Debug)]
pub struct Bounds {
    /// The lower limit.
    pub lower: Option<(Constant, bool)>,
    /// The upper limit.
    pub upper: Option<(Constant, bool)>,
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
