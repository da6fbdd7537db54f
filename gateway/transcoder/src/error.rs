//! The errors of compiling, routing, encoding and decoding; each names the place it is about.

use std::fmt;

use validation::Violations;
use wire::{WireError, prepend};

use crate::limits::MAX_SHOWN_CHARS;

/// The rule that a request breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The body is not JSON (RFC 8259), or not UTF-8.
    Syntax,
    /// The body is not protobuf wire format, or holds a string that is not UTF-8.
    Protobuf,
    /// A JSON value has the wrong type, format or range for its field.
    InvalidValue,
    /// No field has this name, or it can't be set from here.
    UnknownField,
    /// A field, a key or one oneof is set more than once.
    Duplicate,
    /// Body or query contradict what the path has bound.
    PathConflict,
    /// The method takes no body.
    UnexpectedBody,
    /// A bound of this crate is exceeded.
    LimitExceeded,
    /// A message of a stream is longer than the caller of this crate allows.
    TooLong,
    /// The message is well formed and breaks validation rules of its contract.
    Violation,
}

impl Rule {
    /// Stable reason for `google.rpc.ErrorInfo`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Syntax => "INVALID_JSON",
            Rule::Protobuf => "INVALID_PROTOBUF",
            Rule::InvalidValue => "INVALID_VALUE",
            Rule::UnknownField => "UNKNOWN_FIELD",
            Rule::Duplicate => "DUPLICATE_FIELD",
            Rule::PathConflict => "PATH_CONFLICT",
            Rule::UnexpectedBody => "UNEXPECTED_BODY",
            Rule::LimitExceeded | Rule::TooLong => "LIMIT_EXCEEDED",
            Rule::Violation => "INVALID_FIELD",
        }
    }
}

/// Why a request can't be turned into a message (400).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// Field path by JSON names, such as `lines[3].quantity`; empty for the request as a whole.
    pub path: String,
    /// The broken rule.
    pub rule: Rule,
    /// The problem, without the path.
    pub description: String,
    /// Byte offset into the JSON body, where the body is at fault.
    pub offset: Option<usize>,
    /// Every validation rule that is broken, the first of which is the one above; empty unless the
    /// rule is [`Rule::Violation`].
    pub violations: Violations,
    /// Full name of the type that a `google.protobuf.Any` names and that is not known.
    pub missing_type: Option<Box<str>>,
}

impl std::error::Error for RequestError {}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.violations.is_empty() {
            return write!(formatter, "{}", self.violations);
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.description)?;
        match self.offset {
            Some(offset) => write!(formatter, " (at byte {offset} of the body)"),
            None => Ok(()),
        }
    }
}

/// An error on its way out of the nested writers; boxed so that the happy path returns one word.
pub(crate) type Failure = Box<RequestError>;

impl RequestError {
    #[cold]
    pub(crate) fn new(rule: Rule, description: impl Into<String>) -> Failure {
        Box::new(RequestError {
            path: String::new(),
            rule,
            description: description.into(),
            offset: None,
            violations: Violations::default(),
            missing_type: None,
        })
    }

    #[cold]
    pub(crate) fn offset(mut self: Box<Self>, offset: usize) -> Failure {
        self.offset.get_or_insert(offset);
        self
    }

    /// Prepends one element to the path, as the error leaves the value of field `name`.
    #[cold]
    pub(crate) fn in_field(self: Box<Self>, name: &str) -> Failure {
        if name.is_empty() {
            // A path that shows nothing would name no place.
            return self.at_key(name);
        }
        match name.char_indices().nth(MAX_SHOWN_CHARS) {
            Some((end, _)) => self.within(&format!("{}…", name.get(..end).unwrap_or_default())),
            None => self.within(name),
        }
    }

    #[cold]
    pub(crate) fn at_index(self: Box<Self>, index: usize) -> Failure {
        self.within(&format!("[{index}]"))
    }

    #[cold]
    pub(crate) fn at_key(self: Box<Self>, key: &str) -> Failure {
        let shown = key.char_indices().nth(MAX_SHOWN_CHARS);
        match shown.and_then(|(end, _)| key.get(..end)) {
            Some(start) => self.within(&format!("[\"{}…\"]", start.escape_debug())),
            None => self.within(&format!("[{key:?}]")),
        }
    }

    /// Names and keys are truncated for display: a hostile one may be as long as its body,
    /// and is copied on every level that the error passes.
    fn within(mut self: Box<Self>, element: &str) -> Failure {
        prepend(&mut self.path, element);
        for violation in &mut self.violations.listed {
            prepend(&mut violation.path, element);
        }
        self
    }
}

/// Returns the same error about a request.
#[cold]
pub(crate) fn of_wire(error: &WireError) -> Failure {
    RequestError::new(Rule::InvalidValue, error.description).in_field(&error.path)
}

/// Rejects a message that breaks rules.
pub(crate) fn of_violations(found: Violations) -> Result<(), Failure> {
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
