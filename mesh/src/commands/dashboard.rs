//! `mesh dashboard`: where the page is that shows the mesh.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::desk::running;
use crate::home::Home;
use crate::stack::operator;
use crate::ui;

/// The arguments of `dashboard`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the URL only
    #[arg(long)]
    url: bool,
}

pub(super) fn dashboard(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let address = running(&home)?.dashboard;
    let address = address
        .context("the mesh that is up has no dashboard; start it again without `--no-dashboard`")?;
    ui::print(match args.url {
        true => format!("http://{address}"),
        false => format!(
            "http://{address}\nIts buttons ask for the operator's token: the second word in {}",
            operator::file(&home.mesh()).display()
        ),
    });
    Ok(ExitCode::SUCCESS)
}
