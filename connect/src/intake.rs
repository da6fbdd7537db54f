//! The intake of a source: how units come, and what becomes of them afterwards.

mod directory;
mod hash;
mod pattern;
mod report;
mod spool;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use chassis::config::ConfigError;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::pipeline::Unit;
use crate::settings::{Kind, SourceSettings};
use crate::store::Store;

pub(crate) use directory::Directory;
pub(crate) use hash::Digesting;
pub(crate) use report::Report;

/// A unit that can be read.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) unit: Unit,
    pub(crate) file: File,
    pub(crate) place: Place,
    /// When it came, as far as is known.
    pub(crate) since: SystemTime,
}

/// Where a unit is while it is read.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A claimed file of the directory.
    Taken(OsString),
    /// The spool.
    Spool,
}

/// Units that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) units: i64,
    pub(crate) bytes: i64,
    pub(crate) oldest: Option<SystemTime>,
}

/// Why no unit can be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("files")]
    File(#[from] io::Error),
    #[error("database")]
    Database(#[from] sqlx::Error),
    #[error("task died")]
    Task(#[from] tokio::task::JoinError),
    /// The process stops, or the source is paused.
    #[error("halted")]
    Halted,
}

/// The intake of one source: its spool, and its directory if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    source: String,
    store: Store,
    directory: Option<Arc<Directory>>,
}

// === impl Intake ===

impl Intake {
    /// Opens the intake of a source.
    ///
    /// # Errors
    /// The key whose directory can't be used.
    pub(crate) fn open(settings: &SourceSettings, store: Store) -> Result<Self, ConfigError> {
        let directory = match settings.from.kind {
            Kind::Upload => None,
            Kind::Directory => {
                let opened = Directory::open(&settings.from);
                let opened = opened.map_err(|error| {
                    let path = settings.from.path.display();
                    settings.error("from.path", format!("can't use {path}: {error}"))
                })?;
                Some(Arc::new(opened))
            }
        };
        Ok(Self {
            source: settings.name.clone(),
            store,
            directory,
        })
    }

    /// Returns the next unit: one that was claimed before, one that was sent, one of the directory.
    pub(crate) async fn next(
        &self,
        halt: &CancellationToken,
    ) -> Result<(Option<Arrival>, Waiting), IntakeError> {
        let mut waiting = Waiting::default();
        let (files, bytes) = self.store.spool_backlog(&self.source).await?;
        waiting.units += files;
        waiting.bytes += bytes;
        let mut found = None;
        if let Some(directory) = &self.directory {
            let look = self.blocking(directory, |own| own.look()).await?;
            waiting.units += look.waiting.units;
            waiting.bytes += look.waiting.bytes;
            waiting.oldest = look.waiting.oldest;
            found = match look.taken {
                Some(taken) => Some(taken),
                None if files == 0 => {
                    let claim = move |own: &Directory| own.claim(look.ready);
                    self.blocking(directory, claim).await?
                }
                None => None,
            };
        }
        if let (Some(name), Some(directory)) = (found, &self.directory) {
            let halt = halt.clone();
            let read = move |own: &Directory| own.read(name, &halt);
            let arrival = self.blocking(directory, read).await?;
            return Ok((arrival, waiting));
        }
        match self.store.next_spooled(&self.source).await? {
            None => Ok((None, waiting)),
            Some(spooled) => {
                let arrival = spool::arrival(&self.store, &self.source, spooled).await?;
                Ok((Some(arrival), waiting))
            }
        }
    }

    /// Returns whether the bytes of a unit are those that it began with.
    pub(crate) async fn is_unchanged(
        &self,
        place: &Place,
        unit: &Unit,
        since: SystemTime,
    ) -> Result<bool, IntakeError> {
        let (Place::Taken(name), Some(directory)) = (place, &self.directory) else {
            return Ok(true);
        };
        let (name, bytes) = (name.clone(), unit.size_bytes);
        let look = move |own: &Directory| Ok(own.is_unchanged(&name, bytes, since));
        self.blocking(directory, look).await
    }

    /// Returns the directory, if there is one.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_deref().map(Directory::path)
    }

    /// Puts a unit away that has ended, with its report.
    pub(crate) async fn put_away(&self, place: Place, report: Report) -> Result<(), IntakeError> {
        match (place, &self.directory) {
            (Place::Taken(name), Some(directory)) => {
                let put = move |own: &Directory| own.put_away(&name, &report);
                self.blocking(directory, put).await
            }
            _ => {
                let removed = self.store.remove_spooled(&self.source, &report.unit);
                Ok(removed.await?)
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        directory: &Arc<Directory>,
        work: impl FnOnce(&Directory) -> io::Result<T> + Send + 'static,
    ) -> Result<T, IntakeError> {
        let directory = directory.clone();
        let done = spawn_blocking(move || work(&directory)).await?;
        done.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => IntakeError::Halted,
            _ => error.into(),
        })
    }
}
