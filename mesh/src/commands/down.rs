//! `mesh down`: stops the mesh, or the processes of a killed supervisor.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::home::{Home, StateDir};
use crate::os::{self, Signal};
use crate::snapshot::Snapshot;
use crate::ui::Ui;

/// Longest wait: seven processes drain one after the other.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

pub(super) fn down() -> Result<ExitCode> {
    let ui = Ui::detect();
    if !stop(&Home::find()?, ui)? {
        ui.note("the mesh is not up");
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops a running mesh; returns whether there was one.
pub(super) fn stop(home: &Home, ui: Ui) -> Result<bool> {
    let snapshot = Snapshot::load(&home.mesh());
    if StateDir::of_up(home)?.is_some() {
        let orphans = snapshot
            .as_ref()
            .map(Snapshot::stop_orphans)
            .unwrap_or_default();
        Snapshot::forget(&home.mesh());
        if orphans.is_empty() {
            return Ok(false);
        }
        ui.note(format!(
            "stopped processes of a killed mesh: {}",
            orphans.join(", ")
        ));
        return Ok(true);
    }
    let Some(supervisor) = snapshot
        .map(|snapshot| snapshot.supervisor)
        .filter(|supervisor| supervisor.is_alive())
    else {
        bail!("the mesh is just starting; try again");
    };
    let step = ui.step("draining and stopping");
    supervisor.signal(Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while StateDir::of_up(home)?.is_none() {
        if Instant::now() > deadline {
            supervisor.signal(Signal::KILL);
            bail!(
                "the mesh did not stop within {} s: its supervisor was killed; run `mesh down` again to stop the remaining processes",
                PATIENCE.as_secs()
            );
        }
        os::pause(POLL);
    }
    step.done();
    Ok(true)
}
