//! `cargo xtask alerts`: the alerts of `deploy/alerts` and their tests, checked by promtool.

use std::io::ErrorKind;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use mesh::home::Home;
use mesh::ui::Ui;

const DIRECTORY: &str = "deploy/alerts";
const PROGRAM: &str = "promtool";
const STEPS: [[&str; 5]; 2] = [
    [
        "check",
        "rules",
        "events.rules.yaml",
        "sagas.rules.yaml",
        "connect.rules.yaml",
    ],
    [
        "test",
        "rules",
        "events.test.yaml",
        "sagas.test.yaml",
        "connect.test.yaml",
    ],
];

/// Checks the rules and that each alert fires; exits with 1 if one does not.
///
/// # Errors
/// When promtool is missing or can't be run.
pub(crate) fn alerts() -> Result<ExitCode> {
    if !is_installed()? {
        bail!("{PROGRAM} is not on PATH; Debian has it in the package `prometheus`");
    }
    let directory = Home::find()?.root().join(DIRECTORY);
    for arguments in STEPS {
        let mut command = Command::new(PROGRAM);
        let status = command.args(arguments).current_dir(&directory).status();
        if !status.context("cannot run promtool")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Like [`alerts`], but only says so where promtool is missing.
pub(crate) fn alerts_if_installed() -> Result<ExitCode> {
    if is_installed()? {
        return alerts();
    }
    Ui::detect().note(format!("alerts are not checked, without {PROGRAM}"));
    Ok(ExitCode::SUCCESS)
}

fn is_installed() -> Result<bool> {
    match Command::new(PROGRAM).arg("--version").output() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("cannot run promtool"),
    }
}
