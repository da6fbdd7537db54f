//! The mesh of a project in containers: files for Docker Compose, which follow from `mesh.toml`.

mod file;
mod prometheus;
mod secrets;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::engines::Engines;
use crate::project::{Engine, GATEWAY, Project, Run, Service};

pub use secrets::{DIRECTORY, write as write_secrets};

/// Files that belong into the repository of a project, relative to its directory.
const COMPOSE: &str = "compose.yaml";
const DOCKERFILE: &str = "deploy/Dockerfile";
const DOCKERIGNORE: &str = "deploy/Dockerfile.dockerignore";

/// Version of Rust that builds images where the project has no `rust-toolchain.toml`.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Port of the calls of each process, in its container.
const PORT: u16 = 8080;
/// Port of the operators' side of each process.
const OPERATORS_PORT: u16 = 9090;
/// Where secrets are in a container.
const SECRETS: &str = "/run/secrets";
/// Verb of a program that brings its database up to date.
const MIGRATE: &str = "migrate";

/// How the image of a process is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Name of the process.
    pub process: String,
    /// Name of the image without its tag: `PROJECT/PROCESS`.
    pub name: String,
    /// The file that it is built by, relative to the project.
    pub dockerfile: PathBuf,
    /// The arguments of the build.
    pub arguments: Vec<(&'static str, String)>,
}

/// Returns the files for the repository of a project, relative to its directory, with their text.
///
/// # Errors
/// When the project asks for what a stack can't have, see [`check`].
pub fn files(project: &Project) -> Result<Vec<(PathBuf, String)>> {
    check(project)?;
    let project = &project.without_issuer();
    let dockerfile = include_str!("compose/Dockerfile")
        .replace("{{project}}", project.name())
        .replace("{{rust}}", &rust(project));
    Ok(vec![
        (COMPOSE.into(), file::text(project)?),
        (DOCKERFILE.into(), dockerfile),
        (prometheus::FILE.into(), prometheus::configuration(project)),
        (
            DOCKERIGNORE.into(),
            include_str!("compose/dockerignore").to_owned(),
        ),
    ])
}

/// Returns the images of a project: of its services in the order of starting, and of the gateway.
pub fn images(project: &Project) -> Vec<Image> {
    let project = &project.without_issuer();
    let programs = programs(project);
    let image = |process: &str| {
        let own = project.service(process).map(|service| &service.run);
        let (dockerfile, arguments) = match own {
            Some(Run::Command { .. }) => {
                let file = format!("services/{process}/Dockerfile");
                (PathBuf::from(file), Vec::new())
            }
            _ => {
                let program = program(project, process).to_owned();
                let arguments = vec![("PROGRAMS", programs.clone()), ("PROGRAM", program)];
                (PathBuf::from(DOCKERFILE), arguments)
            }
        };
        Image {
            process: process.to_owned(),
            name: format!("{}/{process}", project.name()),
            dockerfile,
            arguments,
        }
    };
    project.names().map(image).collect()
}

/// Checks that containers can run the mesh of a project.
fn check(project: &Project) -> Result<()> {
    let security = project.security();
    for (key, is_on) in [("identity", security.identity), ("tls", security.tls)] {
        ensure!(
            !is_on,
            "security.{key}: a stack in containers has no keys for its processes, since nothing would rotate them"
        );
    }
    ensure!(
        !security.authentication,
        "security.authentication: a stack in containers has no issuer; name one in the gateway's configuration"
    );
    Ok(())
}

/// Returns the names of all programs that Cargo builds, separated by spaces.
fn programs(project: &Project) -> String {
    let built = project.names().filter(|name| {
        let service = project.service(name);
        service.is_none_or(|service| service.package().is_some())
    });
    let names: Vec<&str> = built.map(|name| program(project, name)).collect();
    names.join(" ")
}

/// Returns the program of the gateway, or of a service that Cargo builds.
fn program<'a>(project: &'a Project, process: &'a str) -> &'a str {
    match project.service(process).map(|service| &service.run) {
        Some(Run::Cargo { program, .. }) => program,
        _ => crate::cargo::GATEWAY_PROGRAM,
    }
}

/// Returns the channel of `rust-toolchain.toml`, if it is a version.
fn rust(project: &Project) -> String {
    let text = std::fs::read_to_string(project.root().join("rust-toolchain.toml"));
    let file = text.ok().and_then(|text| text.parse::<toml::Table>().ok());
    let toolchain = file.as_ref().and_then(|file| file.get("toolchain"));
    let channel = toolchain.and_then(|table| table.get("channel"));
    let channel = channel.and_then(toml::Value::as_str).unwrap_or(RUST);
    let is_version = channel.starts_with(|first: char| first.is_ascii_digit());
    if is_version { channel } else { RUST }.to_owned()
}

/// Returns the official image of an engine, in the version that is pinned for `mesh up`.
fn engine_image(engine: Engine) -> Result<String> {
    let version = Engines::pinned(engine)?;
    Ok(match engine {
        Engine::Postgres => format!("postgres:{version}"),
        // The plain one has no program that could ask the server for its health.
        Engine::Nats => format!("nats:{version}-alpine"),
        Engine::Valkey => format!("valkey/valkey:{version}"),
    })
}

/// Returns whether a one-shot job brings the database of a process up to date.
fn migrates(service: &Service) -> bool {
    service.needs.contains(&Engine::Postgres) && service.package().is_some()
}

/// Returns the engines that a project needs.
fn engines(project: &Project) -> impl Iterator<Item = Engine> {
    let all = [Engine::Postgres, Engine::Nats, Engine::Valkey];
    all.into_iter()
        .filter(|engine| project.users_of(*engine).next().is_some())
}

/// Returns the project's own configuration of its gateway.
fn gateway_configuration(project: &Project) -> Result<toml::Table> {
    let Some(file) = &project.gateway().config else {
        return Ok(toml::Table::new());
    };
    let file = project.root().join(file);
    let read = |file: &Path| anyhow::Ok(std::fs::read_to_string(file)?.parse()?);
    read(&file).with_context(|| format!("{GATEWAY}.config: cannot read {}", file.display()))
}

#[cfg(test)]
mod tests;
