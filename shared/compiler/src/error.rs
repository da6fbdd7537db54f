//! Reasons why sources can't be read at all, and the text of many problems.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use descriptors::Problem;

/// Problems that one text lists: the first ones cause many of the others.
pub const MAX_LISTED: usize = 50;

/// A failure to read sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to compile.
    #[error("no .proto file under {}", .0.display())]
    Empty(PathBuf),
    /// More files than any API has: a wrong directory.
    #[error("more than {most} .proto files under {}; name the directory of the contracts alone", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// The bound.
        most: usize,
    },
    /// A file or directory can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Returns problems as lines, at most [`MAX_LISTED`] and then the number of the others.
pub fn listed(problems: &[Problem]) -> String {
    let mut text = String::new();
    for (index, problem) in problems.iter().take(MAX_LISTED).enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        // Writing to a String can't fail.
        let _ = write!(text, "{separator}{problem}");
    }
    if let Some(more) = problems
        .len()
        .checked_sub(MAX_LISTED)
        .filter(|more| *more > 0)
    {
        let _ = write!(text, "\nand {more} more");
    }
    text
}
