//! A project: a directory with a `mesh.toml` that declares services, gateway and commands.

mod argv;
mod environment;
mod issuer;
mod manifest;
mod order;
mod security;
mod suggest;
mod wiring;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use argv::Argv;
pub use environment::Environment;
pub use issuer::Issuer;
pub use manifest::{Command, Engine, Gateway, Readiness, Run, Service, Verify};
pub use security::Security;
pub use wiring::url_variable;
pub(crate) use wiring::{Wiring, scheme};

/// Name of the gateway.
pub const GATEWAY: &str = "gateway";
/// Name of the database server.
pub const POSTGRES: &str = "postgres";
/// Name of the broker.
pub const NATS: &str = "nats";
/// Name of the store of counters and short-lived answers.
pub const VALKEY: &str = "valkey";
/// Names of the engines.
pub const ENGINES: [&str; 3] = [POSTGRES, NATS, VALKEY];

/// Name of the file that makes a directory a project.
pub const FILE: &str = "mesh.toml";

/// A project as its `mesh.toml` declares it.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
    name: String,
    first_steps: Vec<String>,
    gateway: Gateway,
    /// A service follows the ones that it calls, if they don't call each other.
    services: Vec<Service>,
    commands: BTreeMap<String, Command>,
    verify: Option<Verify>,
    environments: BTreeMap<String, Environment>,
    security: Security,
    issuer: Option<Issuer>,
}

/// Finds the directory of a project: the nearest one with a `mesh.toml`, from `start` upwards.
///
/// # Errors
/// When there is none.
pub fn root_of(start: &Path) -> Result<&Path> {
    let mut dirs = start.ancestors();
    dirs.find(|dir| dir.join(FILE).is_file()).with_context(|| {
        format!(
            "no {FILE} in {} or above it: run this in a project, or `mesh new NAME` to begin one",
            start.display()
        )
    })
}

// === impl Project ===

impl Project {
    /// Finds the project of the current directory; see [`find`](Self::find).
    ///
    /// # Errors
    /// When there is none, or it is not valid.
    pub fn here() -> Result<Self> {
        Self::find(&std::env::current_dir().context("the current directory is unknown")?)
    }

    /// Finds the project of a directory: the nearest `mesh.toml` in it or above.
    ///
    /// # Errors
    /// When there is none, or it is not valid; the error names key and rule.
    pub fn find(start: &Path) -> Result<Self> {
        let root = root_of(start)?;
        let file = root.join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        manifest::parse(root, &text).with_context(|| format!("{} is not valid", file.display()))
    }

    /// Returns the directory of the project.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the name of the project.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns commands for people to try first; `{gateway}` stands for the gateway's host:port.
    pub fn first_steps(&self) -> &[String] {
        &self.first_steps
    }

    /// Returns the gateway's part.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Returns the services in the order of starting.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Returns one service.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Returns the project as it runs where callers need no tokens: without the service that issues
    /// them.
    pub(crate) fn without_issuer(&self) -> Self {
        let mut project = self.clone();
        if let Some(issuer) = project.issuer.take() {
            let services = &mut project.services;
            services.retain(|service| service.name != issuer.service);
        }
        project
    }

    /// Returns the project's own commands by name.
    pub fn commands(&self) -> &BTreeMap<String, Command> {
        &self.commands
    }

    /// Returns the load and the check of `verify`.
    pub fn verify(&self) -> Option<&Verify> {
        self.verify.as_ref()
    }

    /// Returns what processes have to prove to each other.
    pub fn security(&self) -> Security {
        self.security
    }

    /// Returns the service that issues the tokens of callers, if the project has one.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    /// Returns a mesh that runs elsewhere.
    ///
    /// # Errors
    /// When the project declares none of this name.
    pub fn environment(&self, name: &str) -> Result<&Environment> {
        self.environments.get(name).with_context(|| {
            let known: Vec<&str> = self.environments.keys().map(String::as_str).collect();
            format!(
                "{FILE} has no [environments.{name}]; it has {}",
                suggest::listed(&known)
            )
        })
    }

    /// Returns the names of all processes but the engines, in the order of starting.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let services = self.services.iter().map(|service| service.name.as_str());
        services.chain([GATEWAY])
    }

    /// Returns the services that need an engine, and the gateway if it does.
    pub fn users_of(&self, engine: Engine) -> impl Iterator<Item = &str> {
        let gateway = Some(GATEWAY).filter(|_| self.gateway.needs.contains(&engine));
        let users = self
            .services
            .iter()
            .filter(move |service| service.needs.contains(&engine));
        users.map(|service| service.name.as_str()).chain(gateway)
    }
}
