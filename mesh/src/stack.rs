//! One running mesh.

pub(crate) mod clients;
pub mod compose;
pub(crate) mod credentials;
mod dashboard;
mod launch;
pub(crate) mod nats;
pub(crate) mod operator;
mod options;
pub mod ports;
pub(crate) mod postgres;
pub(crate) mod readers;
mod scram;
pub(crate) mod secrets;
mod valkey;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::home::StateDir;
use crate::os::{Identity, Signal};
use crate::project::{NATS, POSTGRES, Project, Security, VALKEY, scheme};
use crate::snapshot::Snapshot;
use crate::supervise::{Board, ProcessStatus, State, Supervised};
use clients::{Clients, DEVELOPER};
use credentials::{Files, MESH};
pub use options::StackOptions;
use ports::Ports;
pub use readers::Reader;
use secrets::Secrets;

/// Engines, services and gateway of one mesh under supervision. Dropping it kills all of them.
#[derive(Debug)]
pub struct Stack {
    // Fields drop in this order: processes first, the directory and its lock last.
    processes: Vec<(String, Supervised)>,
    board: Arc<Board>,
    dashboard: Option<dashboard::Page>,
    scribe: JoinSet<()>,
    /// Rotates keys and certificates.
    _rotation: JoinSet<()>,
    ready: watch::Sender<bool>,
    secrets: Secrets,
    broker_passwords: Secrets,
    valkey_passwords: Secrets,
    ports: Ports,
    project: Arc<Project>,
    security: Security,
    state_dir: StateDir,
}

impl Stack {
    /// Returns the project whose processes it runs.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Returns the address of a process, running or not.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let port = self
            .ports
            .by_name
            .get(name)
            .with_context(|| format!("this mesh has no process {name}"))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }

    /// Returns the URL of a service or the gateway, `http://127.0.0.1:PORT`; `https` of a service
    /// where the project has TLS on.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn url(&self, name: &str) -> Result<String> {
        let scheme = scheme(&self.project, self.security, name);
        Ok(format!("{scheme}://{}", self.address(name)?))
    }

    /// Returns the file of the key that signs the calls of the process `mesh`, which every service
    /// trusts; `None` if calls are not signed.
    pub fn key_file(&self) -> Option<PathBuf> {
        let files = Files::of(self.dir());
        self.security.identity.then(|| files.key(MESH))
    }

    /// Returns the files of the authority's certificate, and of the one of the process `mesh` with
    /// its key; `None` without TLS.
    pub fn certificate_files(&self) -> Option<(PathBuf, PathBuf)> {
        let files = Files::of(self.dir());
        let named = || (files.authority(), files.certificate(MESH));
        self.security.tls.then(named)
    }

    /// Returns the URL of the broker with a service's user and password; `operator` may do
    /// everything.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn nats_url(&self, user: &str) -> Result<String> {
        nats::url(self.address(NATS)?, &self.broker_passwords, user)
    }

    /// Lets a reader read the facts of `context`; see [`StackOptions::reader`].
    ///
    /// # Errors
    /// When this mesh has no such reader, or nobody has published or read facts of the context yet.
    pub async fn grant(&self, reader: &str, context: &str) -> Result<Reader> {
        readers::grant(self.address(NATS)?, &self.broker_passwords, reader, context).await
    }

    /// Returns the URL of a service's database with role and password; `postgres` gives the owner
    /// of all databases.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn database_url(&self, service: &str) -> Result<String> {
        postgres::url(self.address(POSTGRES)?, &self.secrets, service)
    }

    /// Returns the URL of the store with a process's user and password; `operator` may do
    /// everything.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn valkey_url(&self, user: &str) -> Result<String> {
        valkey::url(self.address(VALKEY)?, &self.valkey_passwords, user)
    }

    /// Returns the token by which operators act at the desks of this mesh.
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn operator_token(&self) -> Result<String> {
        operator::load(self.dir())
    }

    /// Returns ID and secret of the client whose tokens `mesh token` prints, where callers need
    /// tokens.
    ///
    /// # Errors
    /// When the mesh has no issuer.
    pub fn developer(&self) -> Result<(String, String)> {
        let secret = Clients::of(self.dir()).secret(DEVELOPER)?;
        Ok((DEVELOPER.to_owned(), secret))
    }

    /// Returns the log file of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        log_file(self.state_dir.path(), name)
    }

    /// Returns the directory of this mesh.
    pub fn dir(&self) -> &Path {
        self.state_dir.path()
    }

    /// Returns the status of every process by name.
    pub fn processes(&self) -> BTreeMap<String, ProcessStatus> {
        self.board.borrow().clone()
    }

    /// Returns the status of one process.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn process(&self, name: &str) -> Result<ProcessStatus> {
        self.board
            .borrow()
            .get(name)
            .cloned()
            .with_context(|| format!("this mesh does not run {name}"))
    }

    /// Waits until the status of a process satisfies `condition`.
    ///
    /// # Errors
    /// When the time is over; names the last status.
    pub async fn wait_for(
        &self,
        name: &str,
        within: Duration,
        condition: impl Fn(&ProcessStatus) -> bool,
    ) -> Result<ProcessStatus> {
        self.process(name)?;
        let mut changes = self.board.subscribe();
        let satisfied = changes.wait_for(|processes| processes.get(name).is_some_and(&condition));
        if tokio::time::timeout(within, satisfied).await.is_ok() {
            return self.process(name);
        }
        let last = self.process(name)?;
        bail!(
            "{name} did not reach the expected state within {} s; last status: {last:?}",
            within.as_secs_f32()
        )
    }

    /// Starts a stopped or deferred process and waits until it is healthy.
    ///
    /// # Errors
    /// When it isn't healthy within a minute.
    pub async fn start(&self, name: &str) -> Result<()> {
        self.supervised(name)?.want(true);
        self.wait_for(name, launch::PATIENCE, |process| {
            process.state == State::Healthy
        })
        .await
        .map(drop)
    }

    /// Stops a process as `down` does and waits until it is gone; it stays down until
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// When it isn't gone within a minute, though it is killed long before.
    pub async fn stop(&self, name: &str) -> Result<()> {
        self.supervised(name)?.want(false);
        self.wait_for(name, launch::PATIENCE, |process| {
            process.state == State::Stopped
        })
        .await
        .map(drop)
    }

    /// Stops a process as `down` does, and starts it again, one caller after the other.
    ///
    /// # Errors
    /// When it does not stop, or ends before it is healthy; the supervisor goes on trying.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let supervised = self.supervised(name)?;
        let _turn = supervised.restarts.lock().await;
        self.stop(name).await?;
        supervised.want(true);
        let is_settled =
            |now: &ProcessStatus| matches!(now.state, State::Healthy | State::Restarting);
        let now = self.wait_for(name, launch::PATIENCE, is_settled).await?;
        match now.state {
            State::Healthy => Ok(()),
            _ => Err(launch::does_not_start(&now)),
        }
    }

    /// Signals a running process; returns its identity.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<Identity> {
        let life = self
            .process(name)?
            .life
            .with_context(|| format!("{name} is not running"))?;
        life.signal(signal);
        Ok(life)
    }

    /// Kills a process (`-9`), which the supervisor then restarts; returns the identity of the
    /// killed one.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&self, name: &str) -> Result<Identity> {
        self.signal(name, Signal::KILL)
    }

    /// Waits until a process is healthy again after `ended` was killed.
    ///
    /// # Errors
    /// When that doesn't happen within a minute.
    pub async fn revived(&self, name: &str, ended: &Identity) -> Result<ProcessStatus> {
        self.wait_for(name, launch::PATIENCE, |process| {
            process.state == State::Healthy && process.life.as_ref() != Some(ended)
        })
        .await
    }

    /// Sets an environment variable from the next start of a process on.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn set_env(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.supervised(name)?.set_env(key, value, false);
        Ok(())
    }

    /// Sets an environment variable for the next start of a process only, such as a crash point
    /// that must not fire twice.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn set_env_once(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.supervised(name)?.set_env(key, value, true);
        Ok(())
    }

    /// Returns the state that `status` shows.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            supervisor: Identity::current(),
            ready: *self.ready.borrow(),
            dashboard: self.dashboard_address(),
            processes: self.processes(),
        }
    }

    /// Drains and stops everything, callers first; returns the directory for the next mesh.
    ///
    /// # Errors
    /// When a process can't be stopped; the others are stopped nevertheless.
    pub async fn shutdown(mut self) -> Result<StateDir> {
        let mut outcome = Ok(());
        for (name, _) in self.processes.iter().rev() {
            outcome = outcome.and(self.stop(name).await);
        }
        // Readers must find no mesh from now on; the writer stops first, so that it can't write
        // again.
        self.scribe.shutdown().await;
        Snapshot::forget(self.state_dir.path());
        outcome.map(|()| self.state_dir)
    }

    fn supervised(&self, name: &str) -> Result<&Supervised> {
        let found = self.processes.iter().find(|(process, _)| process == name);
        found
            .map(|(_, supervised)| supervised)
            .with_context(|| format!("this mesh does not run {name}"))
    }
}

fn log_file(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join("logs").join(format!("{name}.log"))
}
