//! The migrations of a project's services, for the programs of the release before.

use std::path::{Path, PathBuf};

use anyhow::Result;
use compiler::Problem;

use super::baseline::Revision;
use crate::project::Project;

/// Finds what is wrong with the migrations of the project here. With a git revision as `against`,
/// programs of then have to get along with those that are new since; a descriptor set or a
/// directory of contracts has no migrations.
pub(super) fn review(against: Option<&str>) -> Result<Vec<Problem>> {
    let Ok(project) = Project::here() else {
        return Ok(Vec::new());
    };
    let dirs = directories(&project);
    if dirs.is_empty() {
        return Ok(Vec::new());
    }
    let revision = match against {
        Some(name) if !Path::new(name).exists() => Some(Revision::export(name, &dirs, "*.sql")?),
        _ => None,
    };
    let mut problems = Vec::new();
    for dir in &dirs {
        let before = revision.as_ref().map(|revision| revision.path(dir));
        let reviewed = migrations::review(dir, before.as_deref());
        match reviewed {
            Ok(found) => problems.extend(found.into_iter().map(|found| problem(&project, found))),
            Err(error) => problems.push(Problem {
                file: shown(&project, dir),
                line: None,
                column: None,
                element: String::new(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(problems)
}

/// Returns the directories of migrations: one beside the sources of each service that has any.
fn directories(project: &Project) -> Vec<PathBuf> {
    let services = project.services().iter();
    let dirs = services.map(|service| {
        let own = project.root().join("services").join(&service.name);
        own.join("migrations")
    });
    dirs.filter(|dir| dir.is_dir()).collect()
}

fn problem(project: &Project, found: migrations::Problem) -> Problem {
    Problem {
        file: shown(project, &found.file),
        line: found.line.and_then(|line| u32::try_from(line).ok()),
        column: None,
        element: String::new(),
        reason: found.reason,
    }
}

fn shown(project: &Project, file: &Path) -> String {
    let root = project.root().canonicalize();
    let root = root.as_deref().unwrap_or(project.root());
    file.strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string()
}
