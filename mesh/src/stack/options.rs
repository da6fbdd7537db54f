//! What a mesh shall consist of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::services::{self, GATEWAY, NATS, POSTGRES, SERVICES};

/// The choices for one mesh. Engines are started when something that is chosen has a database.
#[derive(Clone, Debug)]
pub struct StackOptions {
    pub(super) engines: bool,
    pub(super) processes: BTreeSet<String>,
    pub(super) deferred: BTreeSet<String>,
    pub(super) binaries: PathBuf,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) otlp: Option<String>,
    pub(super) env: Vec<(String, String, String)>,
    pub(super) env_once: Vec<(String, String, String)>,
}

impl StackOptions {
    /// The whole mesh, with the binaries that lie beside this program.
    ///
    /// # Errors
    /// When the directory of this program can't be found out.
    pub fn new() -> Result<Self> {
        Ok(Self {
            engines: true,
            processes: services::names().map(str::to_owned).collect(),
            deferred: BTreeSet::new(),
            binaries: cargo::binaries()?,
            ports: BTreeMap::new(),
            otlp: None,
            env: Vec::new(),
            env_once: Vec::new(),
        })
    }

    /// Only these processes, and the engines if one of them needs them.
    ///
    /// # Errors
    /// When a name is not one of the mesh.
    pub fn only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let known: Vec<&str> = services::names().chain([POSTGRES, NATS]).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            bail!(
                "there is no {unknown} in the mesh; there are {}",
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

    /// Postgres with every service's database and NATS, and nothing else.
    pub fn engines_only(mut self) -> Self {
        self.processes.clear();
        self
    }

    /// Has this process on the map, but leaves it to [`Stack::start`](super::Stack::start).
    ///
    /// The gateway isn't ready before it has seen every service, so the launch doesn't wait for it then.
    pub fn defer(mut self, name: &str) -> Self {
        self.deferred.insert(name.to_owned());
        self
    }

    /// Takes the binaries from another directory than that of this program.
    pub fn binaries(mut self, dir: impl Into<PathBuf>) -> Self {
        self.binaries = dir.into();
        self
    }

    /// Makes a process listen on this port; the others get free ones.
    pub fn port(mut self, name: &str, port: u16) -> Self {
        self.ports.insert(name.to_owned(), port);
        self
    }

    /// Has every process export its traces to this collector (OTLP over gRPC).
    pub fn otlp(mut self, endpoint: impl Into<String>) -> Self {
        self.otlp = Some(endpoint.into());
        self
    }

    /// Sets a variable in the environment of one process.
    pub fn env(mut self, name: &str, key: &str, value: &str) -> Self {
        self.env
            .push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable for the first life of one process only.
    pub fn env_once(mut self, name: &str, key: &str, value: &str) -> Self {
        self.env_once
            .push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// Returns the names of the programs that have to be built.
    pub fn programs(&self) -> Vec<&str> {
        self.processes.iter().map(String::as_str).collect()
    }

    /// What gets a port: everything of the mesh, so that whoever is started later finds the others where they will be.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &'static str> {
        let engines = if self.engines {
            [POSTGRES, NATS].as_slice()
        } else {
            &[]
        };
        engines.iter().copied().chain(services::names())
    }

    /// The chosen processes in the order of starting.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &'static str> + '_ {
        services::names().filter(|name| self.processes.contains(*name))
    }

    /// The services that have a database and a role.
    pub(super) fn databases(&self) -> impl Iterator<Item = &'static str> + use<> {
        SERVICES.iter().map(|service| service.name)
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
