//! The two processes of a run: the showcase server, and the gateway that learns its API by
//! reflection.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::home::{Home, StateDir};
use mesh::probe::Probe;
use mesh::services::GATEWAY;
use mesh::stack::ports::Ports;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::ended;
use super::server::Server;
use crate::tools::process::{log, spawn};

const SHOWCASE: &str = "gapic-showcase";
/// The second listener of the showcase server, which is not used.
const FALLBACK: &str = "gapic-showcase-fallback";
/// Longest wait until the gateway is ready.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Both processes; dropping this kills them.
#[derive(Debug)]
pub(super) struct Processes {
    showcase: Child,
    gateway: Child,
    address: SocketAddr,
    dir: StateDir,
    _ports: Ports,
}

impl Processes {
    /// Starts both and waits until the gateway has learned the API.
    ///
    /// # Errors
    /// When one of them ends, or the gateway does not become ready.
    pub(super) async fn start(home: &Home, server: &Server) -> Result<Self> {
        let dir = StateDir::scratch(home)?;
        let names = [SHOWCASE, FALLBACK, GATEWAY].into_iter();
        let ports = Ports::reserve(&home.ports(), dir.path(), names, &BTreeMap::new())?;
        let address = |name: &str| {
            let port = ports.by_name.get(name).copied().context("no port")?;
            anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let mut showcase = Command::new(&server.program);
        showcase.arg("run");
        showcase.arg(format!("--port={}", address(SHOWCASE)?.port()));
        showcase.arg(format!("--fallback-port={}", address(FALLBACK)?.port()));
        let mut gateway = Command::new(cargo::binaries()?.join(GATEWAY));
        gateway.env("PROTOMESH_LISTEN", address(GATEWAY)?.to_string());
        gateway.env(
            "PROTOMESH_UPSTREAMS",
            format!("http://{}", address(SHOWCASE)?),
        );
        // The suite expects that only JSON names are accepted, as by Google's servers.
        gateway.env("PROTOMESH_STRICT_NAMES", "true");
        let mut processes = Self {
            showcase: spawn(showcase, &dir.path().join("showcase.log"))?,
            gateway: spawn(gateway, &dir.path().join("gateway.log"))?,
            address: address(GATEWAY)?,
            dir,
            _ports: ports,
        };
        processes.ready().await?;
        Ok(processes)
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.address
    }

    async fn ready(&mut self) -> Result<()> {
        let probe = Probe::Ready(self.address);
        let deadline = Instant::now() + PATIENCE;
        while let Err(why) = probe.check().await {
            if let Some(status) = self.showcase.try_wait()? {
                return Err(ended(SHOWCASE, status)).with_context(|| self.log("showcase.log"));
            }
            if let Some(status) = self.gateway.try_wait()? {
                return Err(ended(GATEWAY, status)).with_context(|| self.log("gateway.log"));
            }
            if Instant::now() > deadline {
                bail!(
                    "the gateway is not ready after {} s: {why}\n{}",
                    PATIENCE.as_secs(),
                    self.log("gateway.log")
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn log(&self, name: &str) -> String {
        log(&self.dir.path().join(name))
    }
}
