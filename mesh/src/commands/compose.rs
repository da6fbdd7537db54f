//! `mesh compose`: the files by which Docker Compose runs the mesh.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::project::Project;
use crate::stack::compose;
use crate::ui;

/// The arguments of `compose`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; exit with 1 if a file of the repository is not as it would be written
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Returns whether files are written.
    pub(super) fn writes(&self) -> bool {
        !self.check
    }
}

pub(super) fn compose(args: &Args) -> Result<ExitCode> {
    let project = Project::here()?;
    let mut stale = false;
    for (path, text) in compose::files(&project)? {
        let file = project.root().join(&path);
        if fs::read_to_string(&file).is_ok_and(|now| now == text) {
            continue;
        }
        stale = true;
        if args.check {
            ui::print(format!("{} is out of date", path.display()));
            continue;
        }
        let dir = file.parent().unwrap_or(project.root());
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        ui::print(format!("wrote {}", path.display()));
    }
    if args.check {
        return Ok(ExitCode::from(u8::from(stale)));
    }
    compose::write_secrets(&project)?;
    ui::print(format!(
        "secrets are in {}; next:\n\n  mesh image\n  docker compose up --detach --wait",
        compose::DIRECTORY
    ));
    Ok(ExitCode::SUCCESS)
}
