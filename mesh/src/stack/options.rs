//! The choices for a mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::nats;
use crate::cargo;
use crate::services::{self, GATEWAY, NATS, POSTGRES, SERVICES};

/// Longest name of a reader, in bytes: it is a token of subjects and the name of a consumer.
const MAX_READER_NAME: usize = 32;

/// Choices for one mesh. Engines are started when a chosen process needs them.
#[derive(Clone, Debug)]
pub struct StackOptions {
    pub(super) engines: bool,
    pub(super) processes: BTreeSet<String>,
    pub(super) deferred: BTreeSet<String>,
    pub(super) binaries: PathBuf,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) otlp: Option<String>,
    pub(super) readers: BTreeSet<String>,
    pub(super) env: Vec<(String, String, String)>,
    pub(super) env_once: Vec<(String, String, String)>,
}

impl StackOptions {
    /// Chooses the whole mesh, with the programs beside this one.
    ///
    /// # Errors
    /// When the directory of this program is unknown.
    pub fn new() -> Result<Self> {
        Ok(Self {
            engines: true,
            processes: services::names().map(str::to_owned).collect(),
            deferred: BTreeSet::new(),
            binaries: cargo::binaries()?,
            ports: BTreeMap::new(),
            otlp: None,
            readers: BTreeSet::new(),
            env: Vec::new(),
            env_once: Vec::new(),
        })
    }

    /// Chooses only these processes, and the engines if one needs them.
    ///
    /// # Errors
    /// When the mesh has no process of a name.
    pub fn only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let known: Vec<&str> = services::names().chain([POSTGRES, NATS]).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            bail!(
                "no process {unknown} in the mesh; known: {}",
                known.join(", ")
            );
        }
        self.engines = names.iter().any(|name| *name != GATEWAY);
        let built = names
            .into_iter()
            .filter(|name| ![POSTGRES, NATS].contains(name));
        self.processes = built.map(str::to_owned).collect();
        Ok(self)
    }

    /// Chooses Postgres with every service's database, and NATS.
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

    /// Sets the directory of the programs.
    pub fn binaries(mut self, dir: impl Into<PathBuf>) -> Self {
        self.binaries = dir.into();
        self
    }

    /// Sets the port of a process; the others get free ones.
    pub fn port(mut self, name: &str, port: u16) -> Self {
        self.ports.insert(name.to_owned(), port);
        self
    }

    /// Sets the collector that all processes export traces to (OTLP over gRPC).
    pub fn otlp(mut self, endpoint: impl Into<String>) -> Self {
        self.otlp = Some(endpoint.into());
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
        if name == nats::OPERATOR || SERVICES.iter().any(|service| service.name == name) {
            bail!("reader {name:?}: the broker has another user of this name");
        }
        self.readers.insert(name.to_owned());
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

    /// Returns the names of the programs that have to be built.
    pub fn programs(&self) -> Vec<&str> {
        self.processes.iter().map(String::as_str).collect()
    }

    /// Returns the names that get a port: all of the mesh, so that addresses are known before
    /// processes start.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &'static str> {
        let engines = if self.engines {
            [POSTGRES, NATS].as_slice()
        } else {
            &[]
        };
        engines.iter().copied().chain(services::names())
    }

    /// Returns the chosen processes in the order of starting.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &'static str> + '_ {
        services::names().filter(|name| self.processes.contains(*name))
    }

    /// Returns the services that have a database and a role.
    pub(super) fn databases(&self) -> impl Iterator<Item = &'static str> + use<> {
        SERVICES.iter().map(|service| service.name)
    }

    /// Returns the readers outside of the mesh.
    pub(super) fn readers(&self) -> impl Iterator<Item = &str> {
        self.readers.iter().map(String::as_str)
    }

    pub(super) fn check_binaries(&self) -> Result<()> {
        for name in self.chosen() {
            let binary = self.binaries.join(name);
            binary
                .metadata()
                .with_context(|| format!("{} is not built", binary.display()))?;
        }
        Ok(())
    }
}
