//! `mesh new`: the directory of a project.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mesh::ui;

use crate::crates::Source;
use crate::templates::{self, Lang};
use crate::{add, name};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The new directory; its last part is the name of the project
    project: PathBuf,
    /// Name of the first service
    #[arg(long, default_value = "catalog")]
    service: String,
    /// Language of the first service
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// Make no service
    #[arg(long, conflicts_with_all = ["service", "lang"])]
    empty: bool,
    /// Where the Rust crates come from: a checkout, or the URL of a git repository [default: those
    /// that this command carries]
    #[arg(long, value_name = "PATH|GIT")]
    crates: Option<String>,
}

/// Makes a project.
pub(crate) fn new(args: &Args) -> Result<ExitCode> {
    let root = std::path::absolute(&args.project).context("no working directory")?;
    let name = root
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name::project(name)?;
    if root
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        bail!("{} is not empty: choose another name", root.display());
    }
    let source = Source::parse(args.crates.as_deref())?;
    if !args.empty {
        // Before anything is written.
        name::service(&args.service)?;
    }
    add::template(&root, templates::PROJECT, name)?;
    if !args.empty {
        add::service(&root, &args.service, args.lang, &source)?;
    }
    let dir = args.project.display();
    ui::print(format!("made {dir}; next:\n\n  cd {dir}\n  mesh up"));
    Ok(ExitCode::SUCCESS)
}
