//! The running process: its name and settings, its background tasks, and the signal to stop.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use server::Host;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::{Layers, Settings};

/// A handle to the running process; clones are the same process.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

/// The configurations that come after the one the process has started with; see [`Process::reloads`].
#[derive(Debug)]
pub struct Reloads(pub(crate) watch::Receiver<Option<Arc<Layers>>>);

struct Inner {
    name: String,
    settings: Settings,
    metrics: Metrics,
    draining: CancellationToken,
    shutdown: CancellationToken,
    failed: CancellationToken,
    tasks: TaskTracker,
    reloads: watch::Sender<Option<Arc<Layers>>>,
}

// === impl Process ===

impl Process {
    /// Creates a process that nothing stops but [`Process::drain`]; [`crate::main`] makes one that signals stop.
    pub fn new(name: impl Into<String>, settings: Settings) -> Self {
        let name = name.into();
        Self {
            inner: Arc::new(Inner {
                metrics: Metrics::new(&name),
                name,
                settings,
                draining: CancellationToken::new(),
                shutdown: CancellationToken::new(),
                failed: CancellationToken::new(),
                tasks: TaskTracker::new(),
                reloads: watch::Sender::new(None),
            }),
        }
    }

    /// Name of the process, for example `orders`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The configuration keys that every process has.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What the process counts; `GET /metrics` shows it.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Cancelled when the process stops serving: response streams without an end should end now.
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Cancelled when the last request is done or was given up: background tasks should return now.
    pub fn shutdown(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    /// Begins to stop: health turns to NOT_SERVING, the listener closes, running requests finish.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// The configurations that follow the one at the start: after SIGHUP, or when the file of `--config` has changed. What is
    /// handed out could be loaded, and the keys of [`Process::settings`] are in range; those never change while a process runs,
    /// and the log says so. The process checks its own keys, and keeps what it has if they do not fit.
    pub fn reloads(&self) -> Reloads {
        Reloads(self.inner.reloads.subscribe())
    }

    /// Hands a configuration to whoever follows [`Process::reloads`]; returns whether somebody does.
    pub fn reload(&self, layers: Arc<Layers>) -> bool {
        self.inner.reloads.send_replace(Some(layers));
        self.inner.reloads.receiver_count() > 0
    }

    /// Runs a background task for the life of the process.
    ///
    /// A task that returns an error or panics before the shutdown stops the process with exit code 1, so that a
    /// supervisor starts it again. Without that, a service with a dead relay would look healthy.
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
                // The panic hook has printed message and place already.
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

    /// Cancels the background tasks and waits until they are gone; returns whether none had failed.
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
            // Connections go away in any order while we stop: no reason to report a crash.
            tracing::warn!(error, "background task ended with an error during shutdown");
        } else {
            tracing::error!(error, "background task failed");
            self.inner.failed.cancel();
        }
    }
}

// === impl Reloads ===

impl Reloads {
    /// Waits for the next configuration. Of several that come while nobody waits, only the last is seen.
    pub async fn next(&mut self) -> Arc<Layers> {
        loop {
            if self.0.changed().await.is_err() {
                // The process is gone, and nothing follows.
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
            settings: process.settings().server(),
            metrics: process.metrics().clone(),
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
