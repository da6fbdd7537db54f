//! Commands that a project declares itself, run with the addresses of its mesh.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use super::up;
use crate::home::Home;
use crate::project::{NATS, POSTGRES, url_variable};
use crate::snapshot::Snapshot;
use crate::stack::operator;
use crate::ui::Ui;

/// Runs the project's command of this name in place of this process; returns only if there is none.
///
/// # Errors
/// When the mesh that it needs can't be started, or the program can't.
pub(super) fn run(name: &str, arguments: &[OsString]) -> Result<Option<ExitCode>> {
    let Ok(home) = Home::find() else {
        return Ok(None);
    };
    let Some(declared) = home.project().commands().get(name) else {
        return Ok(None);
    };
    let snapshot = match declared.up {
        true => Some(up::ensure(&home, false, Ui::detect())?),
        false => Snapshot::load(&home.mesh()).filter(|mesh| mesh.supervisor.is_alive()),
    };
    let Some((program, first)) = declared.run.split_first() else {
        bail!("command.{name}.run is empty");
    };
    let mut command = Command::new(program);
    command.args(first).args(arguments).current_dir(home.root());
    if let Some(snapshot) = snapshot {
        command.env("MESH_OPERATOR_TOKENS", operator::file(&home.mesh()));
        let processes = snapshot.processes.values();
        let called = processes.filter(|process| ![POSTGRES, NATS].contains(&&*process.name));
        for process in called {
            let url = format!("http://{}", process.address);
            command.env(url_variable(&process.name), url);
        }
    }
    let failed = command.exec();
    Err(failed).with_context(|| format!("command.{name}.run: cannot run {program}"))
}

/// Returns help on the commands of the project; nothing if there are none.
pub(super) fn help(home: &Home) -> String {
    let commands = home.project().commands();
    if commands.is_empty() {
        return String::new();
    }
    let lines = commands
        .iter()
        .map(|(name, command)| format!("  {name:<12} {}", command.about));
    let lines: Vec<String> = lines.collect();
    format!(
        "Commands of {}:\n{}",
        home.project().name(),
        lines.join("\n")
    )
}
