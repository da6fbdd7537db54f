//! The migrations of a release, compared with those of the release before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{Migration, find};
use crate::name::{Error, contract_after};
use crate::statements::contracting;

/// A migration that would break a program of the release before, or the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line of the statement, from 1, if one is meant.
    pub line: Option<usize>,
    /// The problem, with what to write instead.
    pub reason: String,
}

/// Finds what is wrong with the migrations of `dir`. With `before`, the directory of the release
/// before, which may not exist, its programs have to get along with those that are new.
///
/// # Errors
/// When a directory or a file can't be read, or a name is invalid.
pub fn review(dir: &Path, before: Option<&Path>) -> Result<Vec<Problem>, Error> {
    let now = find(dir)?;
    let mut problems = unknown_versions(&now);
    let Some(before) = before else {
        return Ok(problems);
    };
    let released = match before.is_dir() {
        true => find(before)?,
        false => Vec::new(),
    };
    problems.extend(changed(dir, &now, &released)?);
    let known: BTreeSet<i64> = released.iter().map(|migration| migration.version).collect();
    let last = known.last().copied().unwrap_or(0);
    for migration in now.iter().filter(|one| !known.contains(&one.version)) {
        let problem = |line, reason: String| Problem {
            file: migration.up.clone(),
            line,
            reason,
        };
        if migration.version < last {
            let reason = format!(
                "version {} comes before {last}, which is released: databases that have {last} would be out of order",
                migration.version
            );
            problems.push(problem(None, reason));
        }
        if migration.down.is_none() {
            let reason = "it has no rollback: name it `.up.sql`, with a `.down.sql` beside it";
            problems.push(problem(None, reason.to_owned()));
        }
        match contract_after(&migration.description) {
            // All is new to the first release.
            None if released.is_empty() => {}
            None => problems.extend(expanding(migration, &problem)?),
            Some(after) if known.contains(&after) => {}
            Some(after) => {
                let reason = format!(
                    "migration {after} belongs to the same release, so programs that run now still use what this one removes; leave it to the next release"
                );
                problems.push(problem(None, reason));
            }
        }
    }
    Ok(problems)
}

/// A contract step has to name a migration that exists.
fn unknown_versions(now: &[Migration]) -> Vec<Problem> {
    let versions: BTreeSet<i64> = now.iter().map(|migration| migration.version).collect();
    let steps = now.iter().filter_map(|migration| {
        let after = contract_after(&migration.description)?;
        (!versions.contains(&after)).then(|| Problem {
            file: migration.up.clone(),
            line: None,
            reason: format!("there is no migration {after}, after which it contracts"),
        })
    });
    steps.collect()
}

/// An applied migration is not applied again: no database would get a change of it.
fn changed(dir: &Path, now: &[Migration], released: &[Migration]) -> Result<Vec<Problem>, Error> {
    let now: BTreeMap<i64, &Migration> = now.iter().map(|one| (one.version, one)).collect();
    let mut problems = Vec::new();
    for was in released {
        let Some(is) = now.get(&was.version) else {
            problems.push(Problem {
                file: dir.to_owned(),
                line: None,
                reason: format!(
                    "migration {} ({}) is gone, and databases have it",
                    was.version, was.description
                ),
            });
            continue;
        };
        if read(&is.up)? != read(&was.up)? {
            problems.push(Problem {
                file: is.up.clone(),
                line: None,
                reason: "it has changed since it was released, and databases have it as it was; add another migration".to_owned(),
            });
        }
    }
    Ok(problems)
}

fn expanding(
    migration: &Migration,
    problem: &impl Fn(Option<usize>, String) -> Problem,
) -> Result<Vec<Problem>, Error> {
    let found = contracting(&read(&migration.up)?).into_iter();
    let told = found.map(|one| {
        let reason = format!(
            "`{}`: {}; leave it to a later release, in a migration named contract_after_N_…, or say in a comment `-- expand: REASON` before it why it breaks none",
            one.statement, one.rule
        );
        problem(Some(one.line), reason)
    });
    Ok(told.collect())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
