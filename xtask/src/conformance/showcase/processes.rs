//! The two processes of a run: the showcase server, and the gateway that learns its API by
//! reflection.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use mesh::cargo;
use mesh::home::{Home, StateDir};
use mesh::project::GATEWAY;
use mesh::stack::ports::{Ports, Wanted};
use tokio::process::{Child, Command};

use super::server::Server;
use crate::tools::process::{spawn, until_ready};

const SHOWCASE: &str = "gapic-showcase";
/// The second listener of the showcase server, which is not used.
const FALLBACK: &str = "gapic-showcase-fallback";

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
        let ports = Ports::reserve(&home.ports(), dir.path(), names, &Wanted::default())?;
        let address = |name: &str| {
            let port = ports.by_name.get(name).copied().context("no port")?;
            anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let mut showcase = Command::new(&server.program);
        showcase.arg("run");
        showcase.arg(format!("--port={}", address(SHOWCASE)?.port()));
        showcase.arg(format!("--fallback-port={}", address(FALLBACK)?.port()));
        let mut gateway = Command::new(cargo::binaries(home)?.dir.join(cargo::GATEWAY_PROGRAM));
        gateway.env("PROTOMESH_LISTEN", address(GATEWAY)?.to_string());
        gateway.env(
            "PROTOMESH_UPSTREAMS",
            format!("http://{}", address(SHOWCASE)?),
        );
        // The suite expects that only JSON names are accepted, as by Google's servers.
        gateway.env("PROTOMESH_STRICT_NAMES", "true");
        let mut processes = Self {
            showcase: spawn(showcase, &dir.path().join(format!("{SHOWCASE}.log")))?,
            gateway: spawn(gateway, &dir.path().join(format!("{GATEWAY}.log")))?,
            address: address(GATEWAY)?,
            dir,
            _ports: ports,
        };
        let running = &mut [
            (SHOWCASE, &mut processes.showcase),
            (GATEWAY, &mut processes.gateway),
        ];
        until_ready(processes.address, running, processes.dir.path()).await?;
        Ok(processes)
    }

    pub(super) fn gateway(&self) -> SocketAddr {
        self.address
    }
}
