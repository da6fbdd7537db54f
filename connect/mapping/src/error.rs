//! Mistakes of a mapping, and records that it can't map.

use std::fmt;

/// A mistake of a mapping, found before the first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// Key in the settings, such as `map.unit_price`.
    pub key: String,
    /// Field of the message; empty where the mistake is not about one.
    pub field: String,
    /// Column in the expression, from 1, where it is known.
    pub column: Option<usize>,
    /// The reason, as a sentence.
    pub reason: String,
}

/// A record without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// Field of the message, such as `price.units`; empty for the message as a whole.
    pub field: String,
    /// Column of the record; several with commas between them, where it may be any of them.
    pub column: Option<String>,
    /// The rule: a name of [`rules`](crate::rules), or the id of a rule of `buf.validate`.
    pub rule: String,
    /// The value that breaks the rule, cut to 256 characters; of a rule of `buf.validate` also its
    /// words.
    pub value: String,
}

/// Names of rules, which callers and operators see. They are API.
pub mod rules {
    /// The record has no such column, and the expression does not say what then.
    pub const MISSING: &str = "MISSING";
    /// Neither a decimal nor a number.
    pub const NOT_A_NUMBER: &str = "NOT_A_NUMBER";
    /// A number with decimals where none are possible.
    pub const NOT_WHOLE: &str = "NOT_WHOLE";
    /// More decimals that matter than the scale has.
    pub const SCALE: &str = "SCALE";
    /// A number that the field or the calculation has no room for.
    pub const OUT_OF_RANGE: &str = "OUT_OF_RANGE";
    /// A time that is not written in the format.
    pub const TIME: &str = "TIME";
    /// A local time that the clocks of the zone skip.
    pub const TIME_SKIPPED: &str = "TIME_SKIPPED";
    /// A local time that the clocks of the zone show twice.
    pub const TIME_TWICE: &str = "TIME_TWICE";
    /// A key that a table doesn't have.
    pub const LOOKUP: &str = "LOOKUP";
    /// A name that the enum doesn't have.
    pub const ENUM: &str = "ENUM";
    /// A name that the message doesn't have.
    pub const UNKNOWN_FIELD: &str = "UNKNOWN_FIELD";
    /// Two fields of one oneof.
    pub const ONEOF: &str = "ONEOF";
    /// A value of a type that a function or the field doesn't accept.
    pub const TYPE: &str = "TYPE";
    /// A conversion or a function fails.
    pub const CONVERSION: &str = "CONVERSION";
    /// A text that became too long.
    pub const TOO_LONG: &str = "TOO_LONG";
    /// The expression takes too many steps.
    pub const TOO_EXPENSIVE: &str = "TOO_EXPENSIVE";
}

impl CompileError {
    pub(crate) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        CompileError {
            key: key.into(),
            field: String::new(),
            column: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.key)?;
        if let Some(column) = self.column {
            write!(formatter, " (column {column})")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

impl std::error::Error for CompileError {}

impl fmt::Display for Unmapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.field)?;
        if let Some(column) = &self.column {
            write!(formatter, " from `{column}`")?;
        }
        write!(formatter, ": {}: {}", self.rule, self.value)
    }
}

impl std::error::Error for Unmapped {}

/// Truncates a value to the length that is kept. U+0000 is replaced: databases can't hold it.
pub(crate) fn cut(value: &str) -> String {
    let shown = |c| match c {
        '\0' => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let length = formats::limits::MAX_VALUE_CHARS;
    value.chars().take(length).map(shown).collect()
}
