//! `mesh status`: all processes, checked now.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::addresses;
use crate::home::Home;
use crate::os::Identity;
use crate::probe::{Probe, Secure};
use crate::project::{NATS, POSTGRES, Project, VALKEY};
use crate::snapshot::Snapshot;
use crate::stack::credentials::{Files, MESH};
use crate::stack::postgres;
use crate::stack::secrets::Secrets;
use crate::supervise::{ProcessStatus, State};
use crate::ui;

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the state as JSON; `null` when the mesh is not up
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let project = home.project();
    let mut snapshot =
        Snapshot::load(&home.mesh()).filter(|snapshot| snapshot.supervisor.is_alive());
    if let Some(snapshot) = &mut snapshot {
        let secrets = Secrets::load(&home.mesh()).unwrap_or_default();
        for process in snapshot.processes.values_mut() {
            check(project, process, &secrets, &home.mesh()).await;
        }
    }
    if args.json {
        ui::print(serde_json::to_string_pretty(&snapshot)?);
    } else {
        ui::print(snapshot.as_ref().map_or_else(
            || "the mesh is not up: `mesh up` starts it".to_owned(),
            |mesh| addresses::table(project, mesh),
        ));
    }
    let healthy = snapshot.is_some_and(|snapshot| {
        snapshot
            .processes
            .values()
            .all(|process| process.state == State::Healthy)
    });
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks a process now; the supervisor does so once a second.
async fn check(project: &Project, process: &mut ProcessStatus, secrets: &Secrets, dir: &Path) {
    if !process.life.as_ref().is_some_and(Identity::is_alive) {
        if process.state != State::Stopped {
            process.state = State::Restarting;
        }
        return;
    }
    let answer = match probe(project, process, secrets, dir) {
        Ok(probe) => probe.check().await,
        Err(error) => Err(error.to_string()),
    };
    process.detail = answer.err();
    process.state = match (&process.detail, process.state) {
        (None, _) => State::Healthy,
        (Some(_), State::Healthy) => State::Unhealthy,
        (Some(_), state) => state,
    };
}

fn probe(
    project: &Project,
    process: &ProcessStatus,
    secrets: &Secrets,
    dir: &Path,
) -> Result<Probe> {
    Ok(match process.name.as_str() {
        POSTGRES => Probe::Postgres(Box::new(postgres::admin(process.address, secrets)?)),
        NATS => Probe::Nats(process.address),
        VALKEY => Probe::Valkey(process.address),
        name => {
            // Those of the mesh that runs, whatever the project says now.
            let files = Files::of(dir);
            let secure = match files.authority().exists() {
                true => Some(Secure::load(&files.authority(), &files.certificate(MESH))?),
                false => None,
            };
            Probe::of(project, name, process.address, secure.as_ref())
        }
    })
}
