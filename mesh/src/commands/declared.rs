//! Commands that a project declares itself, run with the addresses of its mesh.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use super::up;
use crate::home::Home;
use crate::project::{NATS, POSTGRES};
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
        command.envs(environment(&home.mesh(), &snapshot));
    }
    let failed = command.exec();
    Err(failed).with_context(|| format!("command.{name}.run: cannot run {program}"))
}

/// Returns the variables by which a command of the project finds the mesh in `dir`.
pub(super) fn environment(dir: &Path, snapshot: &Snapshot) -> BTreeMap<String, String> {
    let tokens = operator::file(dir).display().to_string();
    let mut variables = BTreeMap::from([("MESH_OPERATOR_TOKENS".to_owned(), tokens)]);
    let processes = snapshot.processes.values();
    let called = processes.filter(|process| ![POSTGRES, NATS].contains(&&*process.name));
    variables.extend(called.map(|process| {
        let url = format!("http://{}", process.address);
        // Not `PROTOMESH_…`: a program of a service that the command starts refuses such variables
        // if they set none of its keys.
        let name = process.name.to_ascii_uppercase().replace('-', "_");
        (format!("MESH_{name}_URL"), url)
    }));
    variables
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
