//! The errors of generation, with file, line and rule.

use std::error::Error as _;
use std::path::PathBuf;
use std::{fmt, io};

/// Why nothing was generated.
///
/// `Debug` is the whole message, because that is what cargo shows of a build script whose `main`
/// returns it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A `.proto` file does not parse, or names something that does not exist.
    #[error("{0:?}")] // Only the Debug form of the compiler's error has file, line and column.
    Compile(protox::Error),
    /// Files that compile break a rule of an option.
    #[error("{}", Lines(.0))]
    Contract(Vec<Problem>),
    /// The compiled files don't load; a fault of the generator.
    #[error("the compiled descriptors do not load")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    /// There is nothing to generate.
    #[error("no .proto file under {}", .0.display())]
    Empty(PathBuf),
    /// A file of migrations has a name that gives no version, or the version of another file.
    #[error("{}: {rule}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// The rule, with the next thing to try.
        rule: String,
    },
    /// Neither cargo nor the caller said where to write.
    #[error("OUT_DIR is not set: call this from a build script, or give Builder::out_dir")]
    NoOutDir,
    /// A directory of contracts can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The output can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// One rule that one element of a contract breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Name of the file as an import would spell it.
    pub file: String,
    /// Line of the element, from 1.
    pub line: usize,
    /// Full name of the message.
    pub element: String,
    /// The rule, with what was found instead.
    pub rule: String,
}

struct Lines<'a>(&'a [Problem]);

// === impl Error ===

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            element,
            rule,
        } = self;
        write!(f, "{file}:{line}: {element}: {rule}")
    }
}

// === impl Lines ===

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
