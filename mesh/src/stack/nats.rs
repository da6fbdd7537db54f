//! The broker of a mesh: NATS with JetStream that syncs before it acknowledges.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::engines::Engines;
use crate::home::{StateDir, create_dir};
use crate::os::Signal;
use crate::probe::Probe;
use crate::services::NATS;
use crate::supervise::Program;

pub(super) fn program(
    engines: &Engines,
    state_dir: &StateDir,
    address: SocketAddr,
    log: &Path,
) -> Result<Program> {
    let store = state_dir.data().join(NATS);
    create_dir(&store, 0o700)?;
    let file = state_dir.path().join("nats.conf");
    let store = serde_json::to_string(&store).context("the path of the data is not UTF-8")?;
    // By default JetStream syncs every two minutes, and a power cut loses acknowledged messages.
    let config = format!(
        "listen: \"{address}\"\nserver_name: \"protomesh\"\njetstream {{\n  store_dir: {store}\n  sync_interval: always\n}}\n"
    );
    std::fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Program {
        name: NATS.to_owned(),
        binary: engines.nats.clone(),
        args: vec!["--config".into(), file.into()],
        env: std::collections::BTreeMap::new(),
        account: None,
        address,
        log: log.to_owned(),
        stop: Signal::TERM,
        probe: Probe::Nats(address),
    })
}
