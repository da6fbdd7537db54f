//! Programs of services, started by the tests themselves.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use integration_tests::Mesh;
use mesh::{Home, cargo};
use tokio::process::Command;

/// Returns the program of a service as it is built here.
pub(crate) fn program(service: &str) -> Result<PathBuf> {
    Ok(cargo::binaries(&Home::find()?)?.dir.join(service))
}

/// The release after the present one of orders.
pub(super) fn next() -> PathBuf {
    env!("CARGO_BIN_EXE_orders-next").into()
}

/// Returns a program with the environment of a service, but for its address; it leaves migrations
/// to its verb `migrate`.
pub(super) fn command(mesh: &Mesh, service: &str, program: &PathBuf) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .env(
            "PROTOMESH_DATABASE_URL",
            mesh.stack().database_url(service)?,
        )
        .env("PROTOMESH_DATABASE__MIGRATE", "false")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if service == "identity" {
        command.env("PROTOMESH_ISSUER", "https://api.example.com");
        command.env("PROTOMESH_AUDIENCES", "https://api.example.com");
    }
    Ok(command)
}

/// Runs the verb `migrate` with these arguments; returns what it has printed.
pub(super) async fn migrate(
    mesh: &Mesh,
    service: &str,
    program: &PathBuf,
    arguments: &str,
) -> Result<String> {
    let mut command = command(mesh, service, program)?;
    let arguments = arguments.split_whitespace();
    let output = command.arg("migrate").args(arguments).output().await;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{service}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}
