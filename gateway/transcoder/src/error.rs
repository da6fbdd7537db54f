//! The errors of compiling, routing, encoding and decoding; each names the place it is about.

use std::fmt;

use crate::limits::MAX_SHOWN_CHARS;

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
    /// The path itself is malformed or over a bound (400).
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
}

impl Rule {
    /// Stable reason for `google.rpc.ErrorInfo`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Syntax => "INVALID_JSON",
            Rule::InvalidValue => "INVALID_VALUE",
            Rule::UnknownField => "UNKNOWN_FIELD",
            Rule::Duplicate => "DUPLICATE_FIELD",
            Rule::PathConflict => "PATH_CONFLICT",
            Rule::UnexpectedBody => "UNEXPECTED_BODY",
            Rule::LimitExceeded => "LIMIT_EXCEEDED",
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
}

impl std::error::Error for RequestError {}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        })
    }

    #[cold]
    pub(crate) fn offset(mut self: Box<Self>, offset: usize) -> Failure {
        self.offset.get_or_insert(offset);
        self
    }

    /// Puts one more element in front of the path, as the error leaves the value of field `name`.
    #[cold]
    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Failure {
        prepend(&mut self.path, name);
        self
    }

    #[cold]
    pub(crate) fn at_index(mut self: Box<Self>, index: usize) -> Failure {
        insert(&mut self.path, &format!("[{index}]"));
        self
    }

    #[cold]
    pub(crate) fn at_key(mut self: Box<Self>, key: &str) -> Failure {
        let shown = key.char_indices().nth(MAX_SHOWN_CHARS);
        let element = match shown.and_then(|(end, _)| key.get(..end)) {
            Some(start) => format!("[\"{}…\"]", start.escape_debug()),
            None => format!("[{key:?}]"),
        };
        insert(&mut self.path, &element);
        self
    }
}

/// Why an upstream's message can't be shown as JSON: the upstream is at fault, not the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseError {
    /// Field path by JSON names; empty for the message as a whole.
    pub path: String,
    /// What is wrong, without the path.
    pub description: &'static str,
}

impl std::error::Error for ResponseError {}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            formatter.write_str(self.description)
        } else {
            write!(formatter, "{}: {}", self.path, self.description)
        }
    }
}

impl ResponseError {
    #[cold]
    pub(crate) fn new(description: &'static str) -> Box<Self> {
        Box::new(ResponseError {
            path: String::new(),
            description,
        })
    }

    #[cold]
    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        prepend(&mut self.path, name);
        self
    }
}

impl From<Box<ResponseError>> for ResponseError {
    fn from(error: Box<ResponseError>) -> Self {
        *error
    }
}

/// Puts `element` in front, cut to what is worth showing: a hostile key may be as long as its body, and is copied on every level
/// that the error passes.
fn prepend(path: &mut String, element: &str) {
    match element.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => insert(
            path,
            &format!("{}…", element.get(..end).unwrap_or_default()),
        ),
        None => insert(path, element),
    }
}

fn insert(path: &mut String, element: &str) {
    if !path.is_empty() && !path.starts_with('[') {
        path.insert(0, '.');
    }
    path.insert_str(0, element);
}
