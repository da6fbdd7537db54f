//! The errors of generation.

use std::error::Error as _;
use std::path::PathBuf;
use std::{fmt, io};

use compiler::Problem;

/// Why nothing was generated.
///
/// `Debug` is the whole message, because that is what cargo shows of a build script whose `main`
/// returns it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Contracts have mistakes.
    #[error("{}", compiler::listed(.0))]
    Contract(Vec<Problem>),
    /// The contracts can't be read.
    #[error(transparent)]
    Sources(#[from] compiler::Error),
    /// The migrations of a service can't be read, or one has an invalid name.
    #[error(transparent)]
    Migrations(#[from] migrations::Error),
    /// Neither cargo nor the caller said where to write.
    #[error("OUT_DIR is not set: call this from a build script, or give Builder::out_dir")]
    NoOutDir,
    /// The output can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

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
