//! Processes of a run that write a log.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

/// Starts a process whose output goes to a new file; dropping it kills it.
///
/// # Errors
/// When the file cannot be written or the program not be started.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true);
    let program = command.as_std().get_program().display().to_string();
    command
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

/// Returns the log of a process; empty if there is none.
pub(crate) fn log(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
