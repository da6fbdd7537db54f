//! The choices for a mesh.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::ports::Wanted;
use super::{dashboard, nats};
use crate::cargo::{self, Binaries};
use crate::home::Home;
use crate::project::{
    ENGINES, Engine, GATEWAY, NATS, POSTGRES, Project, Run, Security, Service, VALKEY,
};

/// Longest name of a reader, in bytes: it is a token of subjects and the name of a consumer.
const MAX_READER_NAME: usize = 32;

/// Variable that replaces `[security]` of the project: `identity`, `tls`, `access` and
/// `authentication`, separated by commas, or `none`.
const SECURITY: &str = "MESH_SECURITY";

/// Choices for one mesh. Engines are started when a chosen process needs them.
#[derive(Clone, Debug)]
pub struct StackOptions {
    pub(super) project: Arc<Project>,
    pub(super) engines: BTreeSet<Engine>,
    pub(super) processes: BTreeSet<String>,
    pub(super) deferred: BTreeSet<String>,
    pub(super) binaries: Binaries,
    pub(super) ports: Wanted,
    pub(super) otlp: Option<String>,
    pub(super) dashboard: bool,
    pub(super) security: Security,
    pub(super) readers: BTreeSet<String>,
    pub(super) audit: bool,
    pub(super) env: Vec<(String, String, String)>,
    pub(super) env_once: Vec<(String, String, String)>,
}

// === impl StackOptions ===

impl StackOptions {
    /// Chooses the whole mesh of a project.
    ///
    /// # Errors
    /// When the directory of its programs is unknown.
    pub fn new(home: &Home) -> Result<Self> {
        let project = Arc::clone(home.project());
        let needs = project.services().iter().flat_map(|service| &service.needs);
        let needs = needs.chain(&project.gateway().needs);
        let issuer = project.issuer().map(|issuer| issuer.service.as_str());
        let names = project.names().filter(|name| Some(*name) != issuer);
        let options = Self {
            engines: needs.copied().collect(),
            processes: names.map(str::to_owned).collect(),
            deferred: BTreeSet::new(),
            binaries: cargo::binaries(home)?,
            ports: Wanted::default(),
            otlp: None,
            dashboard: false,
            security: Security::default(),
            readers: BTreeSet::new(),
            audit: false,
            env: Vec::new(),
            env_once: Vec::new(),
            project: Arc::clone(&project),
        };
        Ok(options.security(security(&project)?))
    }

    /// Chooses only these processes, and the engines that they need.
    ///
    /// # Errors
    /// When the mesh has no process of a name.
    pub fn only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        self.processes.clear();
        self.engines.clear();
        for name in names {
            match (name, self.project.service(name)) {
                (POSTGRES, _) => drop(self.engines.insert(Engine::Postgres)),
                (NATS, _) => drop(self.engines.insert(Engine::Nats)),
                (VALKEY, _) => drop(self.engines.insert(Engine::Valkey)),
                (_, Some(service)) => {
                    self.engines.extend(&service.needs);
                    self.processes.insert(name.to_owned());
                }
                (GATEWAY, None) => {
                    self.engines.extend(&self.project.gateway().needs);
                    self.processes.insert(name.to_owned());
                }
                (_, None) => {
                    let known: Vec<&str> = self.project.names().chain(ENGINES).collect();
                    bail!("no process {name} in the mesh; known: {}", known.join(", "));
                }
            }
        }
        Ok(self)
    }

    /// Chooses the engines, with every service's database and user, and no process.
    pub fn engines_only(mut self) -> Self {
        self.processes.clear();
        self
    }

    /// Reserves the address of a process, but leaves its start to
    /// [`Stack::start`](super::Stack::start).
    ///
    /// The launch doesn't wait for the gateway then, which isn't ready before all services are.
    pub fn defer(mut self, name: &str) -> Self {
        self.deferred.insert(name.to_owned());
        self
    }

    /// Sets the directory of the programs that Cargo has built.
    pub fn binaries(mut self, dir: impl Into<PathBuf>) -> Self {
        self.binaries.dir = dir.into();
        self
    }

    /// Sets the port of a process; the others get free ones.
    pub fn port(mut self, name: &str, port: u16) -> Self {
        self.ports.given.insert(name.to_owned(), port);
        self
    }

    /// Sets the port of a process, or the next free one if it is in use.
    pub fn prefer_port(mut self, name: &str, port: u16) -> Self {
        self.ports.preferred.insert(name.to_owned(), port);
        self
    }

    /// Sets the address at which the gateway listens: of this machine, or `0.0.0.0` for others too.
    ///
    /// # Errors
    /// When it is another address, by which `mesh` could not reach it, or has no port.
    pub fn listen(self, address: SocketAddr) -> Result<Self> {
        let is_reached = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED].map(IpAddr::V4);
        if !is_reached.contains(&address.ip()) || address.port() == 0 {
            bail!(
                "--listen or gateway.listen: expected 127.0.0.1:PORT or 0.0.0.0:PORT, found \
                 {address}; leave it out for a free port"
            );
        }
        let text = address.to_string();
        let options = self.port(GATEWAY, address.port());
        Ok(options.env(GATEWAY, "PROTOMESH_LISTEN", &text))
    }

    /// Sets the collector that all processes export traces to (OTLP over gRPC).
    pub fn otlp(mut self, endpoint: impl Into<String>) -> Self {
        self.otlp = Some(endpoint.into());
        self
    }

    /// Sets what processes have to prove to each other, in place of what the project and
    /// `MESH_SECURITY` say. The issuer runs where callers need its tokens.
    pub fn security(mut self, security: Security) -> Self {
        if let Some(issuer) = self.project.issuer() {
            match security.authentication {
                true => drop(self.processes.insert(issuer.service.clone())),
                false if self.security.authentication => {
                    self.processes.remove(&issuer.service);
                }
                false => {}
            }
        }
        self.security = security;
        self
    }

    /// Adds the dashboard, which receives the traces of all processes unless
    /// [`otlp`](Self::otlp) names a collector.
    pub fn dashboard(mut self) -> Self {
        self.dashboard = true;
        self
    }

    /// Adds the audit trail of the gateway, as `gateway.needs` with `nats` does.
    pub fn audit(mut self) -> Self {
        self.audit = true;
        self.engines.insert(Engine::Nats);
        self
    }

    /// Adds a user of the broker that reads the facts of contexts that it is granted; see
    /// [`Stack::grant`](super::Stack::grant).
    ///
    /// # Errors
    /// When the name is another user's, or is not of 1 to 32 of `a-z`, `0-9`, `-` and `_`.
    pub fn reader(mut self, name: &str) -> Result<Self> {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c);
        if !(1..=MAX_READER_NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
            bail!("reader {name:?}: expected 1 to {MAX_READER_NAME} of a-z, 0-9, - and _");
        }
        if name == nats::OPERATOR || self.project.service(name).is_some() {
            bail!("reader {name:?}: the broker has another user of this name");
        }
        self.readers.insert(name.to_owned());
        self.engines.insert(Engine::Nats);
        Ok(self)
    }

    /// Sets an environment variable of one process.
    pub fn env(mut self, name: &str, key: &str, value: &str) -> Self {
        self.env
            .push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// Sets an environment variable of one process for its first start only.
    pub fn env_once(mut self, name: &str, key: &str, value: &str) -> Self {
        self.env_once
            .push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// Returns the programs that Cargo has to build for the chosen processes.
    pub fn programs(&self) -> Vec<&str> {
        self.chosen()
            .filter_map(|name| self.cargo_program(name))
            .collect()
    }

    /// Returns the profile by which Cargo builds the programs.
    pub(crate) fn profile(&self) -> &str {
        &self.binaries.profile
    }

    /// Returns the chosen processes with the programs that Cargo has built for them.
    pub(crate) fn built_programs(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.chosen().filter_map(|name| {
            let program = self.cargo_program(name)?;
            Some((name, self.binaries.dir.join(program)))
        })
    }

    /// Returns the engines that the chosen processes need.
    pub fn engines(&self) -> &BTreeSet<Engine> {
        &self.engines
    }

    /// Returns the chosen services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        let services = self.project.services().iter();
        services.filter(|service| self.processes.contains(&service.name))
    }

    /// Returns the names that get a port: all of the mesh, so that addresses are known before
    /// processes start.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &str> {
        let engines = self.engines.iter().map(|engine| engine.process());
        let pages = dashboard::PORTS.iter().copied();
        let pages = pages.filter(|_| self.dashboard);
        engines.chain(pages).chain(self.project.names())
    }

    /// Returns the chosen processes in the order of starting.
    pub fn chosen(&self) -> impl Iterator<Item = &str> {
        let names = self.project.names();
        names.filter(|name| self.processes.contains(*name))
    }

    /// Returns the services with a database and a role, if Postgres runs.
    pub(super) fn databases(&self) -> impl Iterator<Item = &str> {
        self.users_of(Engine::Postgres)
    }

    /// Returns the services with a user of the broker, if it runs, and the gateway if it has an
    /// audit trail.
    pub(super) fn publishers(&self) -> impl Iterator<Item = &str> {
        let users = self.users_of(Engine::Nats);
        let has_trail = self.audit && !self.project.gateway().needs.contains(&Engine::Nats);
        users.chain(has_trail.then_some(GATEWAY))
    }

    /// Returns the processes with a user of Valkey, if it runs.
    pub(super) fn valkey_users(&self) -> impl Iterator<Item = &str> {
        self.users_of(Engine::Valkey)
    }

    fn users_of(&self, engine: Engine) -> impl Iterator<Item = &str> {
        let users = self.project.users_of(engine);
        users.filter(move |_| self.engines.contains(&engine))
    }

    /// Returns the readers outside of the mesh.
    pub(super) fn readers(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().map(String::as_str)
    }

    /// Returns program and arguments of a process.
    pub(super) fn command(&self, name: &str) -> Result<(PathBuf, Vec<String>)> {
        let binary = match self.cargo_program(name) {
            Some(program) => self.binaries.dir.join(program),
            None if name == GATEWAY => cargo::installed_gateway()?,
            None => PathBuf::new(),
        };
        let Some(service) = self.project.service(name) else {
            let config = self.project.gateway().config.as_ref();
            let file = config.map(|file| self.project.root().join(file).display().to_string());
            let args = file.map(|file| vec!["--config".to_owned(), file]);
            return Ok((binary, args.unwrap_or_default()));
        };
        match &service.run {
            Run::Cargo { .. } => Ok((binary, Vec::new())),
            Run::Command { command, .. } => {
                Ok((PathBuf::from(&command.program), command.arguments.clone()))
            }
        }
    }

    pub(super) fn check_binaries(&self) -> Result<()> {
        for program in self.programs() {
            let binary = self.binaries.dir.join(program);
            binary
                .metadata()
                .with_context(|| format!("{} is not built", binary.display()))?;
        }
        Ok(())
    }

    /// Returns the program of a process that Cargo builds.
    fn cargo_program(&self, name: &str) -> Option<&str> {
        if name == GATEWAY {
            let package = self.project.gateway().package.as_ref();
            return package.map(|_| cargo::GATEWAY_PROGRAM);
        }
        match &self.project.service(name)?.run {
            Run::Cargo { program, .. } => Some(program),
            Run::Command { .. } => None,
        }
    }
}

/// Returns what the environment says about security, else the project.
#[allow(
    clippy::disallowed_methods,
    reason = "a switch of the command itself, for runs of tests"
)]
fn security(project: &Project) -> Result<Security> {
    let Ok(list) = std::env::var(SECURITY) else {
        return Ok(project.security());
    };
    let mut security = Security::default();
    for name in list.split(',').map(str::trim) {
        match name {
            "identity" => security.identity = true,
            "tls" => security.tls = true,
            "access" => security.access = true,
            "authentication" => security.authentication = true,
            "none" => {}
            _ => bail!(
                "{SECURITY}: expected identity, tls, access, authentication or none, found `{name}`"
            ),
        }
    }
    Ok(security)
}
