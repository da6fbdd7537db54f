//! Keeps one process running: starts it, watches its health, brings it back when it dies.

mod backoff;
mod spawn;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::os::{self, Identity, Signal};
use backoff::Backoff;
pub(crate) use spawn::{Program, set_aside};

/// Intervals of health checks before a process is ready, and afterwards.
const PROBE_STARTING: Duration = Duration::from_millis(50);
const PROBE_HEALTHY: Duration = Duration::from_secs(1);
/// After this long in health, the next death starts the back-off from its first pause.
const RECOVERED: Duration = Duration::from_secs(10);
/// Longest drain before a process is killed; a service drains for up to 10 s by default.
const DRAIN: Duration = Duration::from_secs(15);

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not running, and not meant to.
    Stopped,
    /// Running, and not ready yet.
    Starting,
    /// Running, and its last health check passed.
    Healthy,
    /// Running; it was ready and its last health check failed.
    Unhealthy,
    /// Dead, and restarted after a pause.
    Restarting,
}

impl State {
    /// Returns the name for tables and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
        }
    }
}

/// Status of a process as its supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The name of the process.
    pub name: String,
    /// Address it listens on; restarts keep it.
    pub address: SocketAddr,
    /// File of its output.
    pub log: PathBuf,
    /// Its state.
    pub state: State,
    /// The process that runs now.
    pub life: Option<Identity>,
    /// Number of restarts.
    pub restarts: u32,
    /// Its last unexpected end.
    pub last_exit: Option<String>,
    /// Reason why it is not healthy.
    pub detail: Option<String>,
}

/// The status of every process of a mesh, by name.
pub(crate) type Board = watch::Sender<BTreeMap<String, ProcessStatus>>;

/// A supervised process. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Supervised {
    /// Held while somebody restarts it.
    pub(crate) restarts: tokio::sync::Mutex<()>,
    name: String,
    board: Arc<Board>,
    wanted: watch::Sender<bool>,
    environment: Arc<Mutex<Variables>>,
    task: JoinHandle<()>,
}

/// Variables variables that are set while the process is supervised.
#[derive(Debug, Default)]
struct Variables {
    always: BTreeMap<String, String>,
    once: BTreeMap<String, String>,
}

impl Supervised {
    /// Registers a program; it does not start yet.
    pub(crate) fn new(program: Program, board: &Arc<Board>) -> Self {
        let name = program.name.clone();
        let status = ProcessStatus {
            name: name.clone(),
            address: program.address,
            log: program.log.clone(),
            state: State::Stopped,
            life: None,
            restarts: 0,
            last_exit: None,
            detail: None,
        };
        board.send_modify(|statuses| {
            statuses.insert(name.clone(), status);
        });
        let (wanted, changes) = watch::channel(false);
        let environment = Arc::new(Mutex::new(Variables::default()));
        let keeper = Keeper {
            program,
            board: Arc::clone(board),
            wanted: changes,
            environment: Arc::clone(&environment),
            backoff: Backoff::default(),
        };
        Self {
            restarts: tokio::sync::Mutex::new(()),
            name,
            board: Arc::clone(board),
            wanted,
            environment,
            task: tokio::spawn(keeper.run()),
        }
    }

    /// Sets whether the process shall run.
    pub(crate) fn want(&self, running: bool) {
        self.wanted.send_replace(running);
    }

    /// Sets a variable from the next start on, or for the next start only.
    pub(crate) fn set_env(&self, key: &str, value: &str, once: bool) {
        let mut environment = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let variables = if once {
            &mut environment.once
        } else {
            &mut environment.always
        };
        variables.insert(key.to_owned(), value.to_owned());
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.task.abort();
        // The task kills its child when the runtime drops it, which may be late or never in a
        // panicking test.
        let life = self
            .board
            .borrow()
            .get(&self.name)
            .and_then(|status| status.life.clone());
        if let Some(life) = life.filter(Identity::is_alive) {
            // An error means that it ended between check and signal.
            let _ = os::send_to_group(life.pid, Signal::KILL);
        }
    }
}

/// Task of a [`Supervised`].
struct Keeper {
    program: Program,
    board: Arc<Board>,
    wanted: watch::Receiver<bool>,
    environment: Arc<Mutex<Variables>>,
    backoff: Backoff,
}

enum End {
    Asked,
    Died(String),
}

impl Keeper {
    async fn run(mut self) {
        // The channel closes when the handle is dropped.
        while self.wanted.wait_for(|wanted| *wanted).await.is_ok() {
            match self.live().await {
                End::Asked => {
                    self.backoff.reset();
                    self.update(|status| {
                        (status.state, status.life, status.detail) = (State::Stopped, None, None)
                    });
                }
                End::Died(how) => self.recover(how).await,
            }
        }
    }

    /// Runs the process from a start to its end.
    async fn live(&mut self) -> End {
        let extra = {
            let mut environment = self
                .environment
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let once = std::mem::take(&mut environment.once);
            environment
                .always
                .clone()
                .into_iter()
                .chain(once)
                .collect::<Vec<_>>()
        };
        let mut child = match self.program.spawn(extra) {
            Ok(child) => child,
            Err(error) => {
                return End::Died(format!(
                    "cannot start {}: {error}",
                    self.program.binary.display()
                ));
            }
        };
        let life = child.id().and_then(Identity::of);
        self.update(|status| {
            (status.state, status.life, status.detail) = (State::Starting, life, None)
        });
        let mut healthy_since = None;
        loop {
            let pause = if healthy_since.is_some() {
                PROBE_HEALTHY
            } else {
                PROBE_STARTING
            };
            tokio::select! {
                exit = child.wait() => return End::Died(exit.map_or_else(|error| error.to_string(), |exit| exit.to_string())),
                () = unwanted(&mut self.wanted) => {
                    self.terminate(&mut child).await;
                    return End::Asked;
                }
                health = checked_after(&self.program.probe, pause) => self.observe(health, &mut healthy_since),
            }
        }
    }

    fn observe(&mut self, health: Result<(), String>, healthy_since: &mut Option<Instant>) {
        let detail = health.err();
        if detail.is_some() {
            *healthy_since = None;
        } else if healthy_since.get_or_insert_with(Instant::now).elapsed() > RECOVERED {
            self.backoff.reset();
        }
        self.update(|status| {
            status.state = match (&detail, status.state) {
                (None, _) => State::Healthy,
                (Some(_), State::Healthy | State::Unhealthy) => State::Unhealthy,
                (Some(_), _) => State::Starting,
            };
            status.detail = detail;
        });
    }

    async fn recover(&mut self, how: String) {
        let pause = self.backoff.next();
        tracing::warn!(process = %self.program.name, %how, pause_ms = pause.as_millis(), "process died, restarting it");
        self.update(|status| {
            (status.state, status.life) = (State::Restarting, None);
            status.detail = Some(format!("died: {how}"));
            status.last_exit = Some(how);
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => self.update(|status| status.restarts += 1),
            () = unwanted(&mut self.wanted) => {
                self.update(|status| (status.state, status.detail) = (State::Stopped, None));
            }
        }
    }

    async fn terminate(&self, child: &mut Child) {
        let Some(pid) = child.id() else { return };
        // An error means that it has just ended; the wait below reports it.
        let _ = os::send(pid, self.program.stop);
        if tokio::time::timeout(DRAIN, child.wait()).await.is_err() {
            tracing::warn!(process = %self.program.name, bound_s = DRAIN.as_secs(), "process did not drain, killing it");
            let _ = os::send_to_group(pid, Signal::KILL);
            let _ = child.wait().await;
        }
    }

    /// Changes the status; readers wake only on a difference.
    fn update(&self, change: impl FnOnce(&mut ProcessStatus)) {
        self.board.send_if_modified(|statuses| {
            let Some(status) = statuses.get_mut(&self.program.name) else {
                return false;
            };
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}

/// Returns when the process shall stop, or its handle is dropped.
async fn unwanted(wanted: &mut watch::Receiver<bool>) {
    let _ = wanted.wait_for(|wanted| !*wanted).await;
}

async fn checked_after(probe: &crate::probe::Probe, pause: Duration) -> Result<(), String> {
    tokio::time::sleep(pause).await;
    probe.check().await
}
