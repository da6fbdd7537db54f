//! The rules that a message breaks.

use std::fmt;

use crate::limits::MAX_VIOLATIONS;

/// One rule that a message breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violation {
    /// Field path by JSON names, such as `lines[3].price.units` or `labels["k"]`; empty for the
    /// message as a whole. A oneof stands under its own name.
    pub path: String,
    /// Id of the rule as protovalidate has it, for example `string.min_len`.
    pub rule: String,
    /// The requirement in English, without the path, such as `must be at most 5 characters`.
    pub message: String,
    /// Where the rule is written.
    pub origin: Origin,
}

/// Where the rule of a violation is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The encoded `buf.validate.FieldPath` of the rule in `buf.validate.FieldRules`; empty for
    /// rules of messages.
    pub rule: Box<[u8]>,
    /// The rule is about the key of a map.
    pub is_of_key: bool,
    /// The rule has no result for the value, which counts as a violation.
    pub has_no_result: bool,
}

/// Everything that is wrong with one message, in the order of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    /// The first ones, at most [`MAX_VIOLATIONS`].
    pub listed: Vec<Violation>,
    /// How many more there are.
    pub more: usize,
}

// === impl Violations ===

impl Violations {
    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub(crate) fn add(
        &mut self,
        path: impl FnOnce() -> String,
        rule: &str,
        message: &str,
        origin: impl FnOnce() -> Origin,
    ) {
        if self.listed.len() == MAX_VIOLATIONS {
            self.more += 1;
            return;
        }
        self.listed.push(Violation {
            path: path(),
            rule: rule.to_owned(),
            message: message.to_owned(),
            origin: origin(),
        });
    }
}

/// The first violation and the number of the others.
impl fmt::Display for Violations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.listed.as_slice() else {
            return formatter.write_str("no rule is broken");
        };
        write!(formatter, "{first}")?;
        match rest.len() + self.more {
            0 => Ok(()),
            more => write!(formatter, " (and {more} more)"),
        }
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}
