//! The problems that a descriptor set may have, each with the place that it is about.

use std::fmt;

/// Bytes of a file's package name, as in protoc: each enclosing package is one more entry in the
/// table of names.
pub(crate) const MAX_PACKAGE_BYTES: usize = 511;

/// Problems that one load reports; further ones are counted, as one broken file easily breaks all
/// that use it.
pub const MAX_PROBLEMS: usize = 1000;

/// Every problem of a descriptor set that can't be compiled.
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
    /// Full name of the definition; empty for the file as a whole.
    pub element: String,
    /// The reason for rejecting the set, or the remark.
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
