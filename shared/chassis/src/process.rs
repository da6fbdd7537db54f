//! The running process: its name and settings, its background tasks, and the signal to stop.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use server::{Budget, Host};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::{Layers, Settings};

/// The task of a process, which its command line selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Serves until it is stopped.
    #[default]
    Serve,
    /// Changes or shows the schema of the database, and ends before it serves.
    Migrate(Migration),
}

/// The work of the verb `migrate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The way.
    pub direction: Direction,
    /// The last version that stays or becomes applied; without it, all of them become, and the last
    /// one is rolled back.
    pub to: Option<i64>,
    /// The library whose schema is meant; without it, the service's own.
    pub library: Option<String>,
    /// Whether the status is JSON.
    pub json: bool,
}

/// The way of a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Applies migrations.
    #[default]
    Up,
    /// Rolls migrations back.
    Down,
    /// Prints which ones are applied.
    Status,
}

/// A handle to the running process; clones are the same process.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

/// The configurations that follow the one at the start; see [`Process::reloads`].
#[derive(Debug)]
pub struct Reloads(pub(crate) watch::Receiver<Option<Arc<Layers>>>);

struct Inner {
    name: String,
    task: Task,
    settings: Settings,
    metrics: Metrics,
    budget: Budget,
    draining: CancellationToken,
    shutdown: CancellationToken,
    failed: CancellationToken,
    tasks: TaskTracker,
    reloads: watch::Sender<Option<Arc<Layers>>>,
    /// Where it listens, once it does.
    address: watch::Sender<Option<SocketAddr>>,
}

// === impl Process ===

impl Process {
    /// Creates a process that only [`Process::drain`] stops; [`crate::main`] creates one that
    /// signals stop.
    pub fn new(name: impl Into<String>, settings: Settings) -> Self {
        Self::with_task(name, settings, Task::Serve)
    }

    /// Creates a process as [`Process::new`] does, for this task.
    pub fn with_task(name: impl Into<String>, settings: Settings, task: Task) -> Self {
        let name = name.into();
        let metrics = Metrics::new(&name);
        let budget = Budget::new(settings.listener.max_held_bytes);
        metrics.budget(budget.clone());
        Self {
            inner: Arc::new(Inner {
                metrics,
                budget,
                name,
                task,
                settings,
                draining: CancellationToken::new(),
                shutdown: CancellationToken::new(),
                failed: CancellationToken::new(),
                tasks: TaskTracker::new(),
                reloads: watch::Sender::new(None),
                address: watch::Sender::new(None),
            }),
        }
    }

    /// Returns the name of the process, for example `orders`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the task of the process.
    pub fn task(&self) -> &Task {
        &self.inner.task
    }

    /// Ends the process from within its start: its task is done, and it serves nothing. Never
    /// returns, as [`main`](crate::main) drops a start that has ended its process.
    pub async fn end(&self) -> Infallible {
        self.drain();
        std::future::pending().await
    }

    /// Returns the configuration keys that every process has.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Waits until the process listens; returns its address, with the port that it has got.
    pub async fn address(&self) -> SocketAddr {
        let mut address = self.inner.address.subscribe();
        let found = address.wait_for(Option::is_some).await.map(|found| *found);
        match found {
            Ok(Some(address)) => address,
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn listens(&self, address: SocketAddr) {
        self.inner.address.send_replace(Some(address));
    }

    /// Returns the metrics of the process, which `GET /metrics` shows.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Returns the memory that requests may hold.
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Returns a token that is cancelled when the process stops serving: response streams without
    /// an end should end now.
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Returns a token that is cancelled after the last request: background tasks should return
    /// now.
    pub fn shutdown(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    /// Begins to stop: health turns to NOT_SERVING, the listener closes, running requests finish.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// Returns the configurations that follow the one at the start: after SIGHUP, or when the file
    /// of `--config` has changed.
    ///
    /// Each could be loaded, and the keys of [`Process::settings`] are in range; those don't change
    /// while a process runs. The process checks its own keys, and keeps its configuration if they
    /// are invalid.
    pub fn reloads(&self) -> Reloads {
        Reloads(self.inner.reloads.subscribe())
    }

    /// Passes a configuration to the receivers of [`Process::reloads`]; returns whether there are
    /// any.
    pub fn reload(&self, layers: Arc<Layers>) -> bool {
        self.inner.reloads.send_replace(Some(layers));
        self.inner.reloads.receiver_count() > 0
    }

    /// Runs a background task for the life of the process.
    ///
    /// A task that returns an error or panics before the shutdown stops the process with exit code
    /// 1, so that a supervisor restarts it. Otherwise a service with a dead relay would look
    /// healthy.
    pub fn spawn<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error> + 'static,
    {
        let process = self.clone();
        let watched = async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            let failure = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.into(),
                // The panic hook has printed message and place.
                Err(_) => anyhow::anyhow!("task panicked"),
            };
            process.fail(&failure);
        };
        self.inner
            .tasks
            .spawn(watched.instrument(tracing::info_span!(parent: None, "task", task = name)));
    }

    /// Resolves when a background task has failed.
    pub(crate) async fn failed(&self) {
        self.inner.failed.cancelled().await;
    }

    /// Cancels the background tasks and waits for their end; returns whether none had failed.
    pub(crate) async fn finish(&self) -> bool {
        self.inner.shutdown.cancel();
        self.inner.tasks.close();
        let wait = tokio::time::timeout(self.settings().drain_timeout(), self.inner.tasks.wait());
        if wait.await.is_err() {
            let running = self.inner.tasks.len();
            tracing::warn!(running, "background tasks did not stop in time");
        }
        !self.inner.failed.is_cancelled()
    }

    fn fail(&self, error: &anyhow::Error) {
        let error = format_args!("{error:#}");
        if self.inner.shutdown.is_cancelled() {
            // Connections close in any order during a stop: not a crash.
            tracing::warn!(error, "background task ended with an error during shutdown");
        } else {
            tracing::error!(error, "background task failed");
            self.inner.failed.cancel();
        }
    }
}

// === impl Reloads ===

impl Reloads {
    /// Waits for the next configuration. Of several in the meantime, only the last is returned.
    pub async fn next(&mut self) -> Arc<Layers> {
        loop {
            if self.0.changed().await.is_err() {
                // The process has ended.
                std::future::pending::<()>().await;
            }
            if let Some(layers) = self.0.borrow_and_update().clone() {
                return layers;
            }
        }
    }
}

impl From<&Process> for Host {
    fn from(process: &Process) -> Self {
        Self {
            process: process.name().to_owned(),
            settings: process.settings().server(),
            metrics: process.metrics().clone(),
            budget: process.budget().clone(),
            draining: process.draining(),
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Process")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}
