//! The name of a file: version, description, and which way it leads.

use std::io;
use std::path::PathBuf;

/// The words before the version whose programs no longer use what a migration removes.
const CONTRACT: [&str; 2] = ["contract", "after"];

/// The way of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `.sql`: forward, without a rollback.
    Plain,
    /// `.up.sql`: forward, with a rollback beside it.
    Up,
    /// `.down.sql`: the rollback.
    Down,
}

/// A name such as `0007_add_notes.up.sql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// A number above 0.
    pub version: i64,
    /// The words of the name, with spaces.
    pub description: String,
    /// The way of the file.
    pub side: Side,
}

/// Why the migrations of a directory can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or the directory can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file has a name that gives no version, or breaks a rule together with another one.
    #[error("{file}: {rule}")]
    Name {
        /// The file.
        file: String,
        /// The rule, with the next thing to try.
        rule: String,
    },
}

// === impl Name ===

impl Name {
    /// Reads the name of a file.
    ///
    /// # Errors
    /// When it is none of a migration.
    pub fn parse(file: &str) -> Result<Self, Error> {
        let stem = file.strip_suffix(".sql").unwrap_or_default();
        let (stem, side) = match (stem.strip_suffix(".up"), stem.strip_suffix(".down")) {
            (Some(stem), _) => (stem, Side::Up),
            (_, Some(stem)) => (stem, Side::Down),
            (None, None) => (stem, Side::Plain),
        };
        let parsed = stem.split_once('_').and_then(|(version, description)| {
            let version = version.parse().ok().filter(|version| *version > 0)?;
            let is_plain = !description.is_empty() && !description.contains('.');
            is_plain.then(|| (version, description.replace('_', " ")))
        });
        let refused = |rule: &str| Error::Name {
            file: file.to_owned(),
            rule: rule.to_owned(),
        };
        let Some((version, description)) = parsed else {
            return Err(refused(
                "expected a name like 0002_add_notes.up.sql, with 0002_add_notes.down.sql beside it: a number above 0, `_`, a description",
            ));
        };
        let name = Self {
            version,
            description,
            side,
        };
        let says_contract = name.description.split(' ').next() == Some(CONTRACT[0]);
        match name.contract_after() {
            None if says_contract => Err(refused(
                "expected contract_after_N_…, with the version whose programs no longer use what it removes",
            )),
            Some(after) if after >= version => Err(refused(&format!(
                "expected a version before {version} after `contract_after_`, got {after}"
            ))),
            _ => Ok(name),
        }
    }

    /// Returns the version whose programs no longer use what the migration removes; `None` if the
    /// migration only expands.
    pub fn contract_after(&self) -> Option<i64> {
        contract_after(&self.description)
    }
}

/// Reads [`Name::contract_after`] from the description of an applied migration.
pub fn contract_after(description: &str) -> Option<i64> {
    let mut words = description.split(' ');
    let begins = CONTRACT
        .iter()
        .all(|expected| words.next() == Some(*expected));
    let version = words.next()?.parse().ok()?;
    begins.then_some(version)
}
