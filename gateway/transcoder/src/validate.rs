//! The standard rules of `buf.validate`, compiled once and checked on wire bytes in place.
//!
//! Rules, ids and meanings are those of protovalidate (`buf/validate/validate.proto`). They are checked on the bytes of the
//! whole message and not while JSON is read, because path, query and body only together make a message: a caller with JSON
//! and one with protobuf get the same violations.

mod compile;
mod compose;
mod distinct;
mod fast;
pub(crate) mod known;
mod load;
mod marks;
mod options;
mod path;
mod pattern;
mod pieces;
mod quick;
mod set;
pub(crate) mod table;
mod typed;
mod value;
mod walk;
mod well_formed;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt, sync::Arc};

use crate::{
    error::{Failure, Problem, RequestError, ResponseError, Rule},
    limits::MAX_VIOLATIONS,
    plan::{MessageId, Types},
};

use fast::Fast;
pub(crate) use load::load;
use table::Need;
pub(crate) use table::Rules;
use value::Now;
use walk::Walk;

/// One rule that a message breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Field path by JSON names, such as `lines[3].price.units` or `labels["k"]`; empty for the message as a whole. A oneof
    /// stands under its own name.
    pub path: String,
    /// Id of the rule as protovalidate has it, for example `string.min_len`.
    pub rule: String,
    /// What is asked of the value, in English, without the path.
    pub message: String,
}

/// Everything that is wrong with one message, in the order of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    /// The first ones, at most [`MAX_VIOLATIONS`].
    pub listed: Vec<Violation>,
    /// How many more there are.
    pub more: usize,
}

/// Why bytes are no message of the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Field path by JSON names; empty for the message as a whole.
    pub path: String,
    /// What is wrong, without the path.
    pub description: &'static str,
}

/// Checks messages of one type.
#[derive(Debug, Clone)]
pub struct Validator {
    types: Arc<Types>,
    input: MessageId,
}

/// Checks a message that this crate has written itself.
pub(crate) fn check_written(types: &Types, id: MessageId, wire: &[u8]) -> Result<(), Failure> {
    let failure = |error: Box<ResponseError>| {
        let failure = RequestError::new(Rule::InvalidValue, error.description);
        failure.in_field(&error.path)
    };
    let found = violations(types, id, wire, Origin::Own).map_err(failure)?;
    match found.listed.first() {
        None => Ok(()),
        Some(first) => {
            let mut failure = RequestError::new(Rule::Violation, first.message.clone());
            failure.path = first.path.clone();
            failure.violations = found;
            Err(failure)
        }
    }
}

/// What is wrong with a message that has no field set.
pub(crate) fn of_empty(types: &Types, id: MessageId) -> Violations {
    // No bytes are always well formed.
    violations(types, id, &[], Origin::Own).unwrap_or_default()
}

/// Who has written a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This crate: it is well formed.
    Own,
    Foreign,
}

fn violations(
    types: &Types,
    id: MessageId,
    wire: &[u8],
    origin: Origin,
) -> Result<Violations, Box<ResponseError>> {
    let rules = types.rules.messages.get(id);
    let texts = rules.is_some_and(|rules| rules.need.meets(Need::TEXT));
    // Text lies on the wire as it is: without a zero byte there is no U+0000, and most messages have none.
    let refuses_nul = texts && memchr::memchr(0, wire).is_some();
    let now = Now::new(types.options.validation.clock);
    let fast = Fast {
        types,
        rules: &types.rules,
        now: &now,
        is_foreign: origin == Origin::Foreign,
        refuses_nul,
    };
    if fast.passes(id, wire) {
        return Ok(Violations::default());
    }
    if origin == Origin::Foreign {
        well_formed::check(types, id, wire, 0)?;
    }
    let need = if refuses_nul { Need::ALL } else { Need::RULES };
    Walk::run(types, id, wire, need, &now)
}

// === impl Rules ===

impl Rules {
    /// What is demanded somewhere and not enforced here.
    pub(crate) fn unenforced(&self) -> impl Iterator<Item = &Problem> {
        self.messages.iter().flat_map(|rules| &rules.unenforced)
    }
}

// === impl Validator ===

impl Validator {
    pub(crate) fn new(types: Arc<Types>, input: MessageId) -> Self {
        Validator { types, input }
    }

    /// Whether there is something to check, in the message or anywhere below it.
    pub fn has_rules(&self) -> bool {
        let rules = self.types.rules.messages.get(self.input);
        rules.is_some_and(|rules| !rules.need.is_empty())
    }

    /// Checks one message, without frame header.
    ///
    /// # Errors
    /// The bytes are no message of the type: cut off, nested too deeply, text that is not UTF-8, a known field in a wire type
    /// that is not its own.
    pub fn check(&self, wire: &[u8]) -> Result<Violations, Malformed> {
        violations(&self.types, self.input, wire, Origin::Foreign).map_err(|error| Malformed {
            path: error.path,
            description: error.description,
        })
    }

    /// What the contract demands of the message or of one below it, and nothing here checks: CEL, predefined rules, rules newer
    /// than this crate.
    pub fn unenforced(&self) -> Vec<&Problem> {
        let mut seen = HashSet::from([self.input]);
        let mut pending = vec![self.input];
        let mut found = Vec::new();
        while let Some(id) = pending.pop() {
            if let Some(rules) = self.types.rules.messages.get(id) {
                found.extend(&rules.unenforced);
            }
            let fields = &self.types.message(id).fields;
            let children = fields.iter().filter_map(|field| field.message());
            pending.extend(children.filter(|child| seen.insert(*child)));
        }
        found
    }
}

// === impl Violations ===

impl Violations {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    fn add(&mut self, path: impl FnOnce() -> String, rule: &str, message: &str) {
        if self.listed.len() == MAX_VIOLATIONS {
            self.more += 1;
            return;
        }
        self.listed.push(Violation {
            path: path(),
            rule: rule.to_owned(),
            message: message.to_owned(),
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

// === impl Malformed ===

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(self.description)
    }
}
