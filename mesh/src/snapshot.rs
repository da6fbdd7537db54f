//! The state file of a running mesh, for `status`, `down` and recovery after a crash.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::os::{self, Identity, Signal};
use crate::project::POSTGRES;
use crate::supervise::ProcessStatus;

const FILE: &str = "state.json";
/// Longest wait for orphans to end: Postgres writes a checkpoint first.
const ORPHANS: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// State of a mesh at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The supervising process.
    pub supervisor: Identity,
    /// Whether all chosen processes have been healthy at least once.
    pub ready: bool,
    /// Address of the dashboard, if this mesh has one.
    #[serde(default)]
    pub dashboard: Option<SocketAddr>,
    /// Every process, by name.
    pub processes: BTreeMap<String, ProcessStatus>,
}

impl Snapshot {
    /// Reads the state of the last mesh in `dir`; `None` without one.
    pub fn load(dir: &Path) -> Option<Self> {
        let text = std::fs::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the file atomically.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix("state-")
            .tempfile_in(dir)
            .context("cannot write the state of the mesh")?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.persist(dir.join(FILE))
            .context("cannot write the state of the mesh")?;
        Ok(())
    }

    pub(crate) fn forget(dir: &Path) {
        // It may be gone already.
        let _ = std::fs::remove_file(dir.join(FILE));
    }

    /// Stops the processes that a killed supervisor left behind; returns their names.
    pub fn stop_orphans(&self) -> Vec<&str> {
        let mut found = Vec::new();
        for process in self.processes.values() {
            let Some(life) = process.life.as_ref().filter(|life| life.is_alive()) else {
                continue;
            };
            // A killed Postgres leaves a lock file with its pid, and refuses to start until that
            // pid is gone, which is never without a reaper of orphans. The others lose nothing when
            // they are killed.
            life.signal(if process.name == POSTGRES {
                Signal::INT
            } else {
                Signal::KILL
            });
            found.push((process.name.as_str(), life));
        }
        // Ports and files are free only after they ended.
        if !gone_within(ORPHANS, &found) {
            found.iter().for_each(|(_, life)| life.signal(Signal::KILL));
            gone_within(ORPHANS, &found);
        }
        found.into_iter().map(|(name, _)| name).collect()
    }
}

fn gone_within(bound: Duration, orphans: &[(&str, &Identity)]) -> bool {
    let deadline = Instant::now() + bound;
    while orphans.iter().any(|(_, life)| life.is_alive()) {
        if Instant::now() > deadline {
            return false;
        }
        os::pause(POLL);
    }
    true
}
