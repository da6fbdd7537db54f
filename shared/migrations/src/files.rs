//! The migrations of a directory.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::name::{Error, Name, Side};

/// A migration with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// A number above 0.
    pub version: i64,
    /// The words of its name.
    pub description: String,
    /// The file that leads forward.
    pub up: PathBuf,
    /// The file of the rollback.
    pub down: Option<PathBuf>,
}

/// Lists the migrations of a directory by version; paths are absolute.
///
/// # Errors
/// When a file has another name, two have one version, or one half of a pair is missing.
pub fn find(dir: &Path) -> Result<Vec<Migration>, Error> {
    let read = |source: io::Error| Error::Read {
        path: dir.to_owned(),
        source,
    };
    // Generated code is compiled in another directory.
    let absolute = dir.canonicalize().map_err(read)?;
    let mut files: Vec<(Name, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&absolute).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push((Name::parse(&shown(&path))?, path));
        }
    }
    files.sort_by_key(|(name, _)| name.version);
    let (mut down, up): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|(name, _)| name.side == Side::Down);
    let mut found: Vec<Migration> = Vec::new();
    for (name, path) in up {
        if let Some(other) = found.last().filter(|last| last.version == name.version) {
            let rule = format!(
                "version {} is also that of {}",
                name.version,
                shown(&other.up)
            );
            return Err(refused(&path, rule));
        }
        found.push(with_rollback(name, path, &mut down)?);
    }
    match down.first() {
        None => Ok(found),
        Some((_, path)) => {
            let rule =
                "expected the migration beside it that it rolls back: the same name with `.up.sql`";
            Err(refused(path, rule.to_owned()))
        }
    }
}

fn with_rollback(
    name: Name,
    path: PathBuf,
    down: &mut Vec<(Name, PathBuf)>,
) -> Result<Migration, Error> {
    let position = down.iter().position(|(other, _)| {
        (other.version, &other.description) == (name.version, &name.description)
    });
    let down = match (name.side, position) {
        (Side::Plain, _) => None,
        (_, Some(position)) => Some(down.remove(position).1),
        (_, None) => {
            let rule = "expected its rollback beside it: the same name with `.down.sql`";
            return Err(refused(&path, rule.to_owned()));
        }
    };
    Ok(Migration {
        version: name.version,
        description: name.description,
        up: path,
        down,
    })
}

fn refused(path: &Path, rule: String) -> Error {
    Error::Name {
        file: path.display().to_string(),
        rule,
    }
}

fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
