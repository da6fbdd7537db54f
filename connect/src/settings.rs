//! The configuration of the process, and the files that declare its sources.

mod duration;
mod place;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::Program;
use chassis::config::{ConfigError, check_numbers};
use serde::Deserialize;

pub(crate) use source::{Batch, From, Kind, SourceSettings};

/// Most sources of one process: each has tasks and connections.
const MAX_SOURCES: usize = 256;

/// Longest term, timeout and pause, in milliseconds: an hour.
const MAX_MS: u64 = 3_600_000;

/// The program, for [`chassis::main_of`].
pub const PROGRAM: Program<'static> = Program {
    name: "connect",
    about: "Reads sources of data, and delivers their records to services",
    defaults: include_str!("../config.default.toml"),
    flags: &[],
};

/// The process's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub(crate) database_url: String,
    pub(crate) database_connections: u32,
    pub(crate) database: ::store::Settings,
    pub(crate) sources: String,
    pub(crate) descriptors: Vec<PathBuf>,
    pub(crate) learn_timeout_ms: u64,
    pub(crate) call_timeout_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) poll_ms: u64,
    pub(crate) uploads: usize,
    pub(crate) spool_max_bytes: u64,
    pub(crate) keep_days: u32,
    pub(crate) targets: BTreeMap<String, String>,
}

// === impl Config ===

impl Config {
    /// Checks the ranges, and reads the files of the sources, sorted by name.
    ///
    /// # Errors
    /// The key that is wrong, with its file.
    pub(crate) fn load(&self) -> Result<Vec<SourceSettings>, ConfigError> {
        check_numbers(
            "",
            &[
                ("learn_timeout_ms", self.learn_timeout_ms, MAX_MS),
                ("call_timeout_ms", self.call_timeout_ms, MAX_MS),
                ("lease_ms", self.lease_ms, MAX_MS),
                ("poll_ms", self.poll_ms, MAX_MS),
                ("uploads", self.uploads as u64, 1024),
                ("spool_max_bytes", self.spool_max_bytes, 1 << 40),
                ("keep_days", u64::from(self.keep_days), 36_500),
            ],
        )?;
        if self.sources.is_empty() {
            let problem = "not set: expected the directory of the sources, in PROTOMESH_SOURCES or in the file of `--config`";
            return Err(ConfigError::effective("sources", problem));
        }
        read(Path::new(&self.sources))
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    pub(crate) fn learn_timeout(&self) -> Duration {
        Duration::from_millis(self.learn_timeout_ms)
    }
}

fn read(directory: &Path) -> Result<Vec<SourceSettings>, ConfigError> {
    let unreadable = |path: &Path, error: std::io::Error| {
        let problem = format!("can't read {}: {error}", path.display());
        ConfigError::effective("sources", problem)
    };
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > MAX_SOURCES {
        let problem = format!(
            "expected at most {MAX_SOURCES} sources, found {}",
            files.len()
        );
        return Err(ConfigError::effective("sources", problem));
    }
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        sources.push(SourceSettings::parse(&file, &text)?);
    }
    Ok(sources)
}
