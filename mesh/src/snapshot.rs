//! What a running mesh writes down about itself, for `status`, `down` and whoever comes after a crash.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::os::{self, Identity, Signal};
use crate::services::POSTGRES;
use crate::supervise::ProcessStatus;

const FILE: &str = "state.json";
/// Postgres writes a checkpoint before it ends; the kernel takes down a killed process at once, unless its disk hangs.
const ORPHANS: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A mesh at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The process that supervises the others.
    pub supervisor: Identity,
    /// Whether everything that was asked for has been healthy at least once.
    pub ready: bool,
    /// Every process, by name.
    pub processes: BTreeMap<String, ProcessStatus>,
}

impl Snapshot {
    /// What the last mesh in `dir` wrote; `None` when there was none.
    pub fn load(dir: &Path) -> Option<Self> {
        let text = std::fs::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Replaces what was written before, at once: a reader sees the old or the new.
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
        // Not there: just as well.
        let _ = std::fs::remove_file(dir.join(FILE));
    }

    /// Stops what a supervisor that was killed left behind; the names of what was still there.
    pub fn stop_orphans(&self) -> Vec<&str> {
        let mut found = Vec::new();
        for process in self.processes.values() {
            let Some(life) = process.life.as_ref().filter(|life| life.is_alive()) else {
                continue;
            };
            // A killed Postgres leaves a lock file with its pid, and refuses to start until that pid is gone: where
            // nobody reaps orphans, that is never. The others lose nothing when they are killed.
            life.signal(if process.name == POSTGRES {
                Signal::INT
            } else {
                Signal::KILL
            });
            found.push((process.name.as_str(), life));
        }
        // Their ports and files are free only when they are gone.
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
