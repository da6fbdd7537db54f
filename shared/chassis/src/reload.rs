//! Follows the configuration while the process runs: on SIGHUP, and when its file changes, the layers are loaded again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::Process;
use crate::config::{ConfigError, Layers, Sources};

#[cfg(test)]
mod tests;

/// Between two looks at the file: it is small, and whoever edits it expects to see what becomes of it.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What the configuration is made of, and what it was when it was last loaded.
pub(crate) struct Follower {
    defaults: String,
    sources: Sources,
    layers: Arc<Layers>,
    file: Option<FileWatch>,
}

/// Tells when the content of a file differs from what it was.
struct FileWatch {
    path: PathBuf,
    ticks: Interval,
    /// `None` while it can't be read.
    content: Option<Vec<u8>>,
}

// === impl Follower ===

impl Follower {
    pub(crate) fn new(defaults: &str, sources: Sources, layers: Layers) -> Self {
        Self {
            defaults: defaults.to_owned(),
            file: sources.file.clone().map(FileWatch::new),
            sources,
            layers: Arc::new(layers),
        }
    }

    /// Hands each new configuration to the process, until it stops.
    pub(crate) async fn follow(
        mut self,
        process: Process,
        mut hangup: Signal,
    ) -> anyhow::Result<()> {
        let shutdown = process.shutdown();
        loop {
            let cause = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = hangup.recv() => "SIGHUP",
                () = changed(&mut self.file) => "file",
            };
            self.reload(&process, cause);
        }
    }

    /// A configuration that can't be loaded changes nothing.
    fn reload(&mut self, process: &Process, cause: &str) {
        if let Some(file) = &mut self.file {
            file.note();
        }
        let layers = match self.load() {
            Ok(layers) => Arc::new(layers),
            Err(error) => {
                let key = &error.key;
                error!(cause, key, %error, "configuration refused, the old one stays");
                return;
            }
        };
        let changed = layers.changed_keys(&self.layers);
        self.layers = layers.clone();
        let fixed: Vec<&String> = changed.iter().filter(|key| Layers::is_fixed(key)).collect();
        if !fixed.is_empty() {
            warn!(
                keys = ?fixed,
                "keys of the configuration that take effect at the next start only"
            );
        }
        info!(cause, ?changed, "configuration loaded again");
        if !process.reload(layers) {
            warn!("this process reads its configuration at its start only");
        }
    }

    fn load(&self) -> Result<Layers, ConfigError> {
        let layers = Layers::load(&self.defaults, &self.sources)?;
        layers.settings()?;
        Ok(layers)
    }
}

async fn changed(file: &mut Option<FileWatch>) {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

// === impl FileWatch ===

impl FileWatch {
    fn new(path: PathBuf) -> Self {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let content = std::fs::read(&path).ok();
        Self {
            path,
            ticks,
            content,
        }
    }

    async fn changed(&mut self) {
        loop {
            self.ticks.tick().await;
            if tokio::fs::read(&self.path).await.ok() != self.content {
                return;
            }
        }
    }

    /// What is in the file now is known from here on.
    fn note(&mut self) {
        self.content = std::fs::read(&self.path).ok();
    }
}
