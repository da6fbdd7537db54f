//! One running mesh.

mod launch;
mod nats;
mod options;
pub mod ports;
pub(crate) mod postgres;
pub(crate) mod secrets;

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
use crate::services::{NATS, POSTGRES};
use crate::snapshot::Snapshot;
use crate::supervise::{Board, ProcessStatus, State, Supervised};
pub use options::StackOptions;
use ports::Ports;
use secrets::Secrets;

/// Engines, services and gateway of one mesh, supervised for as long as this lives. Dropping it kills them all.
#[derive(Debug)]
pub struct Stack {
    // Fields drop in this order: first the processes, at last the directory and its lock.
    processes: Vec<(String, Supervised)>,
    board: Arc<Board>,
    scribe: JoinSet<()>,
    ready: watch::Sender<bool>,
    secrets: Secrets,
    ports: Ports,
    state_dir: StateDir,
}

impl Stack {
    /// Where a process listens, whether it runs or not.
    ///
    /// # Errors
    /// When this mesh has no such process; so do all methods that take a name.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let port = self
            .ports
            .by_name
            .get(name)
            .with_context(|| format!("this mesh has no process {name}"))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }

    /// The address of a service or the gateway as `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn url(&self, name: &str) -> Result<String> {
        Ok(format!("http://{}", self.address(name)?))
    }

    /// The broker as `nats://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn nats_url(&self) -> Result<String> {
        Ok(format!("nats://{}", self.address(NATS)?))
    }

    /// The database of a service, with the role and password of that service; `postgres` gives that of the owner of all.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn database_url(&self, service: &str) -> Result<String> {
        postgres::url(self.address(POSTGRES)?, &self.secrets, service)
    }

    /// Where the output of a process goes.
    pub fn log(&self, name: &str) -> PathBuf {
        log_file(self.state_dir.path(), name)
    }

    /// The directory of this mesh.
    pub fn dir(&self) -> &Path {
        self.state_dir.path()
    }

    /// Every process as it is now, by name.
    pub fn processes(&self) -> BTreeMap<String, ProcessStatus> {
        self.board.borrow().clone()
    }

    /// One process as it is now.
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
    /// When that doesn't happen in time; says what was seen last.
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
            "{name} did not get there within {} s; last seen: {last:?}",
            within.as_secs_f32()
        )
    }

    /// Starts a process that was stopped or deferred, and waits until it is healthy.
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

    /// Stops a process as `down` does, and waits until it is gone; it stays down until [`start`](Self::start).
    ///
    /// # Errors
    /// When it isn't gone within a minute: it is killed long before.
    pub async fn stop(&self, name: &str) -> Result<()> {
        self.supervised(name)?.want(false);
        self.wait_for(name, launch::PATIENCE, |process| {
            process.state == State::Stopped
        })
        .await
        .map(drop)
    }

    /// Sends a signal to a process that runs; the life that got it.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<Identity> {
        let life = self
            .process(name)?
            .life
            .with_context(|| format!("{name} does not run"))?;
        life.signal(signal);
        Ok(life)
    }

    /// Kills a process (`-9`), which the supervisor then brings back; the life that ended.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&self, name: &str) -> Result<Identity> {
        self.signal(name, Signal::KILL)
    }

    /// Waits until a process is healthy in another life than `ended`.
    ///
    /// # Errors
    /// When that doesn't happen within a minute.
    pub async fn revived(&self, name: &str, ended: &Identity) -> Result<ProcessStatus> {
        self.wait_for(name, launch::PATIENCE, |process| {
            process.state == State::Healthy && process.life.as_ref() != Some(ended)
        })
        .await
    }

    /// Sets a variable in the environment of every later life of a process.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn set_env(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.supervised(name)?.set_env(key, value, false);
        Ok(())
    }

    /// Sets a variable for the next life of a process only: a crash point, say, that must not fire again after the restart.
    ///
    /// # Errors
    /// See [`address`](Self::address).
    pub fn set_env_once(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.supervised(name)?.set_env(key, value, true);
        Ok(())
    }

    /// What `status` shows.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            supervisor: Identity::current(),
            ready: *self.ready.borrow(),
            processes: self.processes(),
        }
    }

    /// Drains and stops everything, callers before called; the directory, in which another mesh can go on.
    ///
    /// # Errors
    /// When a process can't be stopped; the others are stopped all the same.
    pub async fn shutdown(mut self) -> Result<StateDir> {
        let mut outcome = Ok(());
        for (name, _) in self.processes.iter().rev() {
            outcome = outcome.and(self.stop(name).await);
        }
        // Whoever reads the state from now on must not find a mesh; first the writer, lest it write again.
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
