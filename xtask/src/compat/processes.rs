//! The processes of a run: one instance of the server with its own gateway, one behind ours, and
//! behind one of ours that protects it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::StatusCode;
use mesh::cargo;
use mesh::home::{Home, StateDir};
use mesh::project::GATEWAY;
use mesh::stack::ports;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::cases::Call;
use super::client::Sender;
use super::server::{Built, Ports, Product};
use crate::tools::process::{log, spawn};

/// Longest wait until a process is ready.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const NAMES: [&str; 8] = [
    "theirs-http",
    "theirs-grpc",
    "theirs-other",
    "ours-http",
    "ours-grpc",
    "ours-other",
    GATEWAY,
    GUARDED,
];
/// The gateway that protects its server.
const GUARDED: &str = "guarded";

#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Theirs,
    Ours,
    /// Ours that protects the server.
    Guarded,
}

/// All processes; dropping this kills them.
#[derive(Debug)]
pub(super) struct Sides {
    _children: Vec<Child>,
    theirs: Ports,
    one_port: bool,
    gateway: SocketAddr,
    guarded: SocketAddr,
    _ports: ports::Ports,
}

impl Sides {
    /// Starts all and waits until both gateways answer.
    ///
    /// # Errors
    /// When one cannot start or does not become ready.
    pub(super) async fn start(
        home: &Home,
        dir: &StateDir,
        product: &Product,
        built: &Built,
    ) -> Result<Self> {
        let reserved = ports::Ports::reserve(
            &home.ports(),
            dir.path(),
            NAMES.into_iter(),
            &ports::Wanted::default(),
        )?;
        let port = |name: &str| reserved.by_name.get(name).copied().context("no port");
        let instance = |side: &str| {
            anyhow::Ok(Ports {
                http: port(&format!("{side}-http"))?,
                grpc: port(&format!("{side}-grpc"))?,
                other: port(&format!("{side}-other"))?,
            })
        };
        let (theirs, ours) = (instance("theirs")?, instance("ours")?);
        let gateway = local(port(GATEWAY)?);
        let guarded = local(port(GUARDED)?);
        let mut children = Vec::new();
        for (name, ports) in [("theirs", &theirs), ("ours", &ours)] {
            let data = dir.path().join(name);
            std::fs::create_dir(&data)?;
            let mut server = Command::new(built.program(product.server));
            server
                .args((product.arguments)(ports, &data))
                .current_dir(&data);
            children.push(spawn(server, &dir.path().join(format!("{name}.log")))?);
            wait(local(ports.http), product.ready)
                .await
                .with_context(|| log(&dir.path().join(format!("{name}.log"))))?;
        }
        let upstream = match product.one_port {
            true => ours.http,
            false => ours.grpc,
        };
        let file = dir.path().join("gateway.toml");
        std::fs::write(&file, configuration(product, upstream, ""))?;
        let mut command = program(home, product, &file)?;
        if let Some(write) = product.descriptors {
            let file = write(home, &built.module, dir.path())?;
            command
                .env("PROTOMESH_SCHEMA__DESCRIPTORS", file)
                .env("PROTOMESH_SCHEMA__REFLECTION", "false");
        }
        children.push(start(command, gateway, &dir.path().join("gateway.log")).await?);
        if let Some(own) = &product.guarded {
            let file = dir.path().join("guarded.toml");
            std::fs::write(&file, configuration(product, upstream, own.configuration))?;
            let command = program(home, product, &file)?;
            children.push(start(command, guarded, &dir.path().join("guarded.log")).await?);
        }
        Ok(Self {
            _children: children,
            theirs,
            one_port: product.one_port,
            gateway,
            guarded,
            _ports: reserved,
        })
    }

    /// Returns the address that serves JSON.
    pub(super) fn http(&self, side: Side) -> SocketAddr {
        match side {
            Side::Theirs => local(self.theirs.http),
            Side::Ours => self.gateway,
            Side::Guarded => self.guarded,
        }
    }

    /// Returns the address that serves gRPC.
    pub(super) fn grpc(&self, side: Side) -> SocketAddr {
        match side {
            Side::Theirs if self.one_port => local(self.theirs.http),
            Side::Theirs => local(self.theirs.grpc),
            Side::Ours => self.gateway,
            Side::Guarded => self.guarded,
        }
    }
}

/// Returns the configuration of a gateway before the server at this port.
fn configuration(product: &Product, upstream: u16, own: &str) -> String {
    let (name, more) = (product.name, product.configuration);
    format!("{own}\n{more}\n[upstream.{name}]\nendpoints = [\"http://127.0.0.1:{upstream}\"]\n")
}

/// Returns the command of a gateway with a configuration.
fn program(home: &Home, product: &Product, file: &Path) -> Result<Command> {
    let mut command = Command::new(cargo::binaries(home)?.dir.join(cargo::GATEWAY_PROGRAM));
    command
        .env("PROTOMESH_CONFIG", file)
        .env("PROTOMESH_DIALECT", "grpc-gateway")
        .envs(product.settings.iter().copied());
    Ok(command)
}

/// Starts a gateway and waits until it is ready.
async fn start(mut command: Command, address: SocketAddr, file: &Path) -> Result<Child> {
    command.env("PROTOMESH_LISTEN", address.to_string());
    let child = spawn(command, file)?;
    wait(address, "/readyz").await.with_context(|| log(file))?;
    Ok(child)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Waits until a path answers 200.
async fn wait(address: SocketAddr, path: &str) -> Result<()> {
    let client = Sender::new(address);
    let request = Call::probe(path);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last = match client.send(&request).await {
            Ok(answer) if answer.status == StatusCode::OK => return Ok(()),
            Ok(answer) => answer.status.to_string(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!(
                "{address}{path} is not ready after {} s: {last}",
                PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}
