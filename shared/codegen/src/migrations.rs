//! Finds the migrations of a service, which generated code embeds.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::Error;

/// One file `<version>_<description>.sql`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) description: String,
    pub(crate) path: PathBuf,
}

/// Lists the migrations of a directory by version.
pub(crate) fn find(dir: &Path) -> Result<Vec<Migration>, Error> {
    let read = |source: io::Error| Error::Read {
        path: dir.to_owned(),
        source,
    };
    // Generated code is compiled in another directory.
    let absolute = dir.canonicalize().map_err(read)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(&absolute).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            found.push(parse(path)?);
        }
    }
    found.sort_by_key(|migration| migration.version);
    for pair in found.windows(2) {
        if let [first, second] = pair
            && first.version == second.version
        {
            return Err(Error::Migration {
                path: second.path.clone(),
                rule: format!(
                    "version {} is also that of {}",
                    second.version,
                    first.path.display()
                ),
            });
        }
    }
    Ok(found)
}

fn parse(path: PathBuf) -> Result<Migration, Error> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let parts = stem.split_once('_');
    let parsed = parts.and_then(|(version, description)| {
        let version = version.parse().ok().filter(|version| *version > 0)?;
        // Migrations that can be reverted are two files; only forward is supported.
        let is_plain = !description.is_empty() && !description.contains('.');
        is_plain.then(|| (version, description.replace('_', " ")))
    });
    match parsed {
        Some((version, description)) => Ok(Migration {
            version,
            description,
            path,
        }),
        None => Err(Error::Migration {
            path,
            rule: "expected a name like 0002_add_notes.sql: a number above 0, `_`, a description"
                .to_owned(),
        }),
    }
}
