//! Commands that a project declares itself, run with the addresses of its mesh.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::up;
use crate::home::Home;
use crate::project::{ENGINES, Project};
use crate::snapshot::Snapshot;
use crate::stack::operator;
use crate::ui::Ui;

/// Runs the project's command of this name in place of this process; returns only if that fails.
///
/// # Errors
/// When there is no such command, the mesh that it needs can't be started, or the program can't.
pub(super) fn run(project: Project, name: &str, arguments: &[OsString]) -> Result<Infallible> {
    let home = Home::of(project)?;
    let declared = home.project().commands().get(name);
    let declared = declared.with_context(|| format!("no [command.{name}]"))?;
    let snapshot = match declared.up {
        true => Some(up::ensure(&home, false, Ui::detect())?),
        false => Snapshot::load(&home.mesh()).filter(|mesh| mesh.supervisor.is_alive()),
    };
    let mut command = declared.run.command(home.root());
    command.args(arguments);
    if let Some(snapshot) = snapshot {
        command.envs(environment(&home.mesh(), &snapshot));
    }
    let failed = command.exec();
    let program = &declared.run.program;
    Err(failed).with_context(|| format!("command.{name}.run: cannot run {program}"))
}

/// Returns the variables by which a command of the project finds the mesh in `dir`.
pub(super) fn environment(dir: &Path, snapshot: &Snapshot) -> BTreeMap<String, String> {
    let tokens = operator::file(dir).display().to_string();
    let mut variables = BTreeMap::from([("MESH_OPERATOR_TOKENS".to_owned(), tokens)]);
    let processes = snapshot.processes.values();
    let called = processes.filter(|process| !ENGINES.contains(&&*process.name));
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
pub(super) fn help(project: &Project) -> String {
    let commands = project.commands();
    if commands.is_empty() {
        return String::new();
    }
    let lines = commands
        .iter()
        .map(|(name, command)| format!("  {name:<12} {}", command.about));
    let lines: Vec<String> = lines.collect();
    format!("Commands of {}:\n{}", project.name(), lines.join("\n"))
}
