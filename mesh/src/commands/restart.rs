//! `mesh restart`: builds processes again and restarts them; the others go on.

use std::process::ExitCode;

use anyhow::Result;

use super::build;
use super::control::{self, Request};
use super::desk::running;
use crate::StackOptions;
use crate::home::Home;
use crate::ui::Ui;

/// The arguments of `restart`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Processes to restart
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Start the program that is there, without a build
    #[arg(long)]
    no_build: bool,
}

pub(super) async fn restart(args: Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    running(&home)?;
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let options = StackOptions::new(&home)?.only(names.iter().copied())?;
    if !args.no_build {
        build::build(&home, &options, ui)?;
    }
    for name in names {
        let step = ui.step(format!("restarting {name}"));
        control::send(&home.mesh(), &Request::Restart(name.to_owned())).await?;
        step.done();
    }
    Ok(ExitCode::SUCCESS)
}
