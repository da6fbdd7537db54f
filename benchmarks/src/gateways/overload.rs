//! Overload: an upstream of known capacity, and clients that ask for more than it has.

mod clients;
mod scenario;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::envoy::Setup;
use super::peer::{Peer, gateway_command};
use super::process::{Process, Processors, free_address};
use clients::{Client, Identity};
use upstream::SlotServer;

/// Longest start of a peer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const START_PAUSE: Duration = Duration::from_millis(100);

/// Programs and effort.
#[derive(Debug, Clone)]
pub struct OverloadPlan {
    /// The gateway's program.
    pub gateway: PathBuf,
    /// Envoy's program, if available.
    pub envoy: Option<PathBuf>,
    /// Slots of the upstream.
    pub slots: usize,
    /// Time that a call holds a slot.
    pub service: Duration,
    /// Time for which an overload is measured.
    pub time: Duration,
}

/// The outcome of one run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OverloadRow {
    /// Name of the gateway.
    pub peer: &'static str,
    /// How it tells clients apart: `address`, or `proxy` for a forwarded address; the runs
    /// `capacity` and `share` tell them apart by address.
    pub case: &'static str,
    /// Offered calls, relative to the capacity.
    pub load: f64,
    /// Calls answered before their deadlines, relative to the capacity.
    pub goodput_ratio: f64,
    /// The part of the calls of quiet clients that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_ok: Option<f64>,
    /// Seconds from the end of the overload until every call is answered, and as fast as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_s: Option<f64>,
    /// 99th percentile of the answered calls, relative to that without load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ratio: Option<f64>,
    /// Seconds until the goodput is within 10 % of a capacity that has halved or doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_s: Option<f64>,
    /// The part of the slot time that a client with short calls gets beside one with long calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot_share: Option<f64>,
    /// The part of the planned calls that were made; a run with less than 98 % is void.
    pub sent_ratio: f64,
}

/// One gateway before one upstream, started anew for each run.
struct Stage {
    upstream: SlotServer,
    _process: Process,
    address: std::net::SocketAddr,
    capacity: f64,
    service: Duration,
    _files: tempfile::TempDir,
}

/// Runs all scenarios and passes each row on as it comes.
///
/// # Errors
/// When a peer does not start.
pub fn run(plan: &OverloadPlan, mut show: impl FnMut(OverloadRow) -> Result<()>) -> Result<()> {
    let processors = Processors::divide();
    let runtime = super::runtime()?;
    for (peer, name) in [(Peer::Protomesh, "protomesh"), (Peer::Envoy, "envoy")] {
        if peer == Peer::Envoy && plan.envoy.is_none() {
            continue;
        }
        for identity in [Identity::Address, Identity::Forwarded] {
            for load in [1.5, 3.0, 10.0] {
                let stage = runtime.block_on(Stage::start(peer, plan, &processors))?;
                let row =
                    runtime.block_on(scenario::overload(&stage, identity, load, plan.time))?;
                show(OverloadRow { peer: name, ..row })?;
            }
        }
        let stage = runtime.block_on(Stage::start(peer, plan, &processors))?;
        let row = runtime.block_on(scenario::capacity(&stage, plan.slots))?;
        show(OverloadRow { peer: name, ..row })?;
        let stage = runtime.block_on(Stage::start(peer, plan, &processors))?;
        let row = runtime.block_on(scenario::share(&stage, plan.time))?;
        show(OverloadRow { peer: name, ..row })?;
    }
    Ok(())
}

// === impl Stage ===

impl Stage {
    async fn start(peer: Peer, plan: &OverloadPlan, processors: &Processors) -> Result<Self> {
        let upstream = processors.on_load(|| SlotServer::start(plan.slots, plan.service))?;
        let files = tempfile::tempdir()?;
        let address = free_address()?;
        let mut command = match (peer, &plan.envoy) {
            (Peer::Envoy, Some(program)) => Setup::adaptive_concurrency().command(
                program,
                files.path(),
                address,
                upstream.address,
            )?,
            _ => {
                let mut command = gateway_command(&plan.gateway, address, upstream.address);
                command.env("PROTOMESH_TRUSTED_PROXIES", clients::PROXY.to_string());
                command
            }
        };
        let process = processors.on_measured(|| Process::start(&mut command))?;
        let stage = Self {
            upstream,
            _process: process,
            address,
            capacity: plan.slots as f64 / plan.service.as_secs_f64(),
            service: plan.service,
            _files: files,
        };
        stage
            .wait()
            .await
            .with_context(|| format!("{} does not serve", peer.name()))?;
        processors.stay_on_load();
        Ok(stage)
    }

    async fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !Client::once(self.address).await {
            ensure!(Instant::now() < deadline, "it has not answered yet");
            sleep(START_PAUSE).await;
        }
        Ok(())
    }
}
