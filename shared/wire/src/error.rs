//! The error of malformed wire bytes.

use std::fmt;

/// Bytes that are not a message of their type, or one without a JSON form. For a response, the
/// upstream is at fault and not the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// Field path by JSON names; empty for the message as a whole.
    pub path: String,
    /// The problem, without the path.
    pub description: &'static str,
    /// Full name of the type that a `google.protobuf.Any` holds and that is not known.
    pub missing_type: Option<Box<str>>,
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
    /// Returns an error about the message as a whole.
    #[cold]
    pub fn new(description: &'static str) -> Box<Self> {
        Box::new(WireError {
            path: String::new(),
            description,
            missing_type: None,
        })
    }

    /// Puts a field name before the path, as the error leaves the value of that field.
    #[cold]
    pub fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        prepend(&mut self.path, name);
        self
    }
}

/// Puts one more element before a field path, with a dot where the path goes on with a name.
pub fn prepend(path: &mut String, element: &str) {
    if !path.is_empty() && !path.starts_with('[') {
        path.insert(0, '.');
    }
    path.insert_str(0, element);
}
