//! The errors of compiling, routing, encoding and decoding; each names the place it is about.

use std::fmt;

use crate::{limits::MAX_SHOWN_CHARS, validate::Violations};

/// What stops a descriptor set from being compiled: every problem, not only the first.
#[derive(Debug, thiserror::Error)]
#[error("{} problem(s) in the descriptor set: {}", problems.len(), list(problems))]
pub struct CompileError {
    /// All problems found, in the order of the files.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}

/// One fault of a descriptor set, or a remark about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the proto file; empty when the set could not be read at all.
    pub file: String,
    /// Line in that file, counted from one, where the set was compiled with source information.
    pub line: Option<u32>,
    /// Full name of the definition the problem is about; empty when there is none.
    pub element: String,
    /// Why it is refused, or what is worth knowing.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            formatter.write_str(&self.file)?;
            if let Some(line) = self.line {
                write!(formatter, ":{line}")?;
            }
            formatter.write_str(": ")?;
        }
        if !self.element.is_empty() {
            write!(formatter, "{}: ", self.element)?;
        }
        formatter.write_str(&self.reason)
    }
}

/// Why no route takes a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No template matches the path (404).
    #[error("no route matches the path")]
    NotFound,
    /// Templates match the path, but none with this method (405).
    #[error("the path exists, but not with this method")]
    MethodNotAllowed {
        /// What the `Allow` header lists, sorted by name.
        allow: Vec<http::Method>,
    },
    /// The path matches without the slash at its end (308).
    #[error("the path is {location:?}, without a slash at the end")]
    Redirect {
        /// The raw path that matches; the caller adds the query of the request.
        location: String,
    },
    /// The path is over a bound (414).
    #[error("bad path: {reason}")]
    PathTooLong {
        /// Which bound.
        reason: &'static str,
    },
    /// The path itself is malformed (400).
    #[error("bad path: {reason}")]
    BadPath {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Which rule a request breaks.
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
            Rule::LimitExceeded => "LIMIT_EXCEEDED",
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
    /// What is wrong, without the path.
    pub description: String,
    /// Byte offset into the JSON body, where the body is at fault.
    pub offset: Option<usize>,
    /// Every validation rule that is broken, the first of which is the one above; empty unless the rule is
    /// [`Rule::Violation`].
    pub violations: Violations,
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
        })
    }

    #[cold]
    pub(crate) fn offset(mut self: Box<Self>, offset: usize) -> Failure {
        self.offset.get_or_insert(offset);
        self
    }

    /// Puts one more element in front of the path, as the error leaves the value of field `name`.
    #[cold]
    pub(crate) fn in_field(self: Box<Self>, name: &str) -> Failure {
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

    /// Names and keys come cut to what is worth showing: a hostile one may be as long as its body, and is copied on every level
    /// that the error passes.
    fn within(mut self: Box<Self>, element: &str) -> Failure {
        prepend(&mut self.path, element);
        for violation in &mut self.violations.listed {
            prepend(&mut violation.path, element);
        }
        self
    }
}

/// Why bytes are no message of their type, or one that has no form in JSON. Of a response, the upstream is at fault and not the
/// caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// Field path by JSON names; empty for the message as a whole.
    pub path: String,
    /// What is wrong, without the path.
    pub description: &'static str,
}

impl std::error::Error for WireError {}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            formatter.write_str(self.description)
        } else {
            write!(formatter, "{}: {}", self.path, self.description)
        }
    }
}

impl WireError {
    #[cold]
    pub(crate) fn new(description: &'static str) -> Box<Self> {
        Box::new(WireError {
            path: String::new(),
            description,
        })
    }

    /// The same about a request.
    #[cold]
    pub(crate) fn as_request(&self) -> Failure {
        RequestError::new(Rule::InvalidValue, self.description).in_field(&self.path)
    }

    #[cold]
    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        prepend(&mut self.path, name);
        self
    }
}

fn prepend(path: &mut String, element: &str) {
    if !path.is_empty() && !path.starts_with('[') {
        path.insert(0, '.');
    }
    path.insert_str(0, element);
}
