//! The peers: how each is started, and its features.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::envoy::Setup;
use super::load;
use super::process::{Process, Processors, free_address};
use super::upstream::Upstream;
use crate::corpus::DESCRIPTORS;

/// Longest start of a peer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two polls of a starting peer.
const START_PAUSE: Duration = Duration::from_millis(50);

/// A measured gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// The gateway of this project.
    Protomesh,
    /// Envoy with grpc_json_transcoder.
    Envoy,
    /// A proxy that transcodes nothing.
    Bare,
    /// grpc-gateway.
    GrpcGateway,
    /// vanguard-go.
    Vanguard,
}

/// Programs of the peers.
pub(super) struct Programs {
    pub(super) gateway: PathBuf,
    pub(super) envoy: Option<PathBuf>,
    pub(super) go: Option<PathBuf>,
}

/// All peers of a run, each with its process or the reason why there is none.
pub(super) struct Fleet {
    pub(super) members: Vec<(Peer, Result<Running, &'static str>)>,
    /// Directory of files that some peers read while they run.
    _files: tempfile::TempDir,
}

/// A running peer.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
}

const PEERS: [Peer; 5] = [
    Peer::Protomesh,
    Peer::Bare,
    Peer::Envoy,
    Peer::GrpcGateway,
    Peer::Vanguard,
];

// === impl Fleet ===

impl Fleet {
    /// Starts all available peers and waits until each responds.
    pub(super) async fn start(
        programs: &Programs,
        upstream: &Upstream,
        processors: &Processors,
    ) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let mut members = Vec::new();
        for peer in PEERS {
            let listen = free_address()?;
            let started = match peer.command(programs, files.path(), listen, upstream.address)? {
                Err(why) => Err(why),
                Ok(mut command) => {
                    let process = processors.on_measured(|| Process::start(&mut command))?;
                    let mut running = Running {
                        process,
                        address: listen,
                    };
                    let ready = running.wait().await;
                    ready.with_context(|| format!("{} does not serve", peer.name()))?;
                    Ok(running)
                }
            };
            members.push((peer, started));
        }
        Ok(Self {
            members,
            _files: files,
        })
    }

    /// Returns the gateway, which always runs.
    pub(super) fn ours(&self) -> Result<&Running> {
        let mut ours = self
            .members
            .iter()
            .filter(|(peer, _)| *peer == Peer::Protomesh);
        let (_, running) = ours.next().context("the gateway is not among the peers")?;
        running.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    }
}

// === impl Running ===

impl Running {
    /// Waits until an order comes back complete.
    pub(super) async fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            self.process.check()?;
            let Err(error) = load::once(self.address, &Ask::order()).await else {
                return Ok(());
            };
            ensure!(
                Instant::now() < deadline,
                "it has not answered yet: {error:#}"
            );
            sleep(START_PAUSE).await;
        }
    }
}

// === impl Peer ===

impl Peer {
    /// Returns the name for people.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Protomesh => "protomesh",
            Peer::Envoy => "Envoy",
            Peer::Bare => "bare proxy",
            Peer::GrpcGateway => "grpc-gateway",
            Peer::Vanguard => "vanguard-go",
        }
    }

    fn command(
        self,
        programs: &Programs,
        files: &Path,
        listen: SocketAddr,
        upstream: SocketAddr,
    ) -> Result<Result<Command, &'static str>> {
        let go = |name: &str| match &programs.go {
            None => Err("Go is not at hand"),
            Some(dir) => {
                let mut command = Command::new(dir.join(name));
                command.args([listen.to_string(), upstream.to_string()]);
                command.env("GOMAXPROCS", "1");
                Ok(command)
            }
        };
        Ok(match self {
            Peer::Protomesh => Ok(gateway_command(&programs.gateway, listen, upstream)),
            Peer::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--bare", &listen.to_string(), &upstream.to_string()]);
                Ok(command)
            }
            Peer::Envoy => match &programs.envoy {
                None => Err("envoy is not at hand"),
                Some(program) => Ok(envoy_command(program, files, listen, upstream)?),
            },
            Peer::GrpcGateway => go("grpc-gateway"),
            Peer::Vanguard => go("vanguard"),
        })
    }
}

/// Starts the gateway with `--upstream` alone, on one processor.
pub(super) fn gateway_command(program: &Path, listen: SocketAddr, upstream: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["--upstream", &format!("http://{upstream}")]);
    command.env("PROTOMESH_LISTEN", listen.to_string());
    command.env("PROTOMESH_LOG", "warn");
    // The idle connections of a case and some more; a common hard limit of descriptors is 20,000.
    command.env("PROTOMESH_MAX_CONNECTIONS", "16000");
    command.env("TOKIO_WORKER_THREADS", "1");
    command
}

fn envoy_command(
    program: &Path,
    files: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
) -> Result<Command> {
    let descriptors = files.join("descriptors.bin");
    std::fs::write(&descriptors, DESCRIPTORS)?;
    Setup::transcoder(&descriptors).command(program, files, listen, upstream)
}
