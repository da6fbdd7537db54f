//! Files in a directory: whole ones only, claimed by a rename, and put away with a report.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use rpc::lock::lock;
use tokio_util::sync::CancellationToken;

use super::pattern::matches;
use super::report::Report;
use super::{Arrival, Place, Waiting, hash};
use crate::pipeline::Unit;
use crate::settings::From;

/// Claimed files, which no one else touches.
const TAKEN: &str = ".taken";
/// Files that were read.
const DONE: &str = "done";
/// Files that were refused as a whole.
const FAILED: &str = "failed";
/// Ending of the reports.
const REPORT: &str = ".report.json";

/// Most files that one look considers; the others wait for the next one.
const MAX_FILES: usize = 10_000;

/// Digits of the identity in the name of a file whose own name is in use.
const SHORT: usize = 12;

/// A watched directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    pattern: String,
    settle: Duration,
    /// The state in which each file was seen, and since when.
    seen: Mutex<HashMap<OsString, (Stat, Instant)>>,
}

/// Size and time of a file, one of which changes when it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A file that is whole.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    name: OsString,
    stat: Stat,
}

/// The files of a directory at one moment.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// A file that was claimed before, by a process that did not end it.
    pub(super) taken: Option<OsString>,
    /// Files that are whole, the oldest first.
    pub(super) ready: Vec<Ready>,
    pub(super) waiting: Waiting,
}

// === impl Directory ===

impl Directory {
    pub(super) fn open(from: &From) -> io::Result<Self> {
        fs::create_dir_all(&from.path)?;
        let path = fs::canonicalize(&from.path)?;
        for inner in [TAKEN, DONE, FAILED] {
            fs::create_dir_all(path.join(inner))?;
        }
        // Says at the start that files can't be claimed.
        drop(tempfile::tempfile_in(path.join(TAKEN))?);
        Ok(Self {
            path,
            pattern: from.pattern.clone(),
            settle: from.settle,
            seen: Mutex::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the directory. Whatever else is in it, only regular files that match are looked at:
    /// links could lead anywhere.
    pub(super) fn look(&self) -> io::Result<Look> {
        let mut look = Look {
            taken: first(&self.path.join(TAKEN))?,
            ..Look::default()
        };
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        let mut found = HashMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_ours = name
                .to_str()
                .is_some_and(|name| matches(&self.pattern, name));
            // Another process may have taken it since.
            let Some(metadata) = entry.metadata().ok().filter(|_| is_ours) else {
                continue;
            };
            if !metadata.is_file() || is_hidden(&name) || found.len() == MAX_FILES {
                continue;
            }
            let stat = Stat::of(&metadata);
            let since = match seen.get(&name) {
                Some((before, since)) if *before == stat => *since,
                _ => now,
            };
            look.waiting.add(stat);
            if now.duration_since(since) >= self.settle {
                let name = name.clone();
                look.ready.push(Ready { name, stat });
            }
            found.insert(name, (stat, since));
        }
        *seen = found;
        look.ready
            .sort_by(|a, b| (a.stat.modified, &a.name).cmp(&(b.stat.modified, &b.name)));
        Ok(look)
    }

    /// Claims the first file that no one has changed or taken meanwhile.
    pub(super) fn claim(&self, ready: Vec<Ready>) -> io::Result<Option<OsString>> {
        for Ready { name, stat } in ready {
            let (own, taken) = (self.path.join(&name), self.path.join(TAKEN).join(&name));
            match fs::rename(&own, &taken) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            if Stat::of(&fs::symlink_metadata(&taken)?) == stat {
                return Ok(Some(name));
            }
            // Someone still writes to it: it goes back, and has to settle again.
            if !own.exists() {
                fs::rename(&taken, &own)?;
            }
        }
        Ok(None)
    }

    /// Opens a claimed file; its identity is that of its bytes. `None` if it is gone.
    pub(super) fn read(
        &self,
        name: OsString,
        halt: &CancellationToken,
    ) -> io::Result<Option<Arrival>> {
        let path = self.path.join(TAKEN).join(&name);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let (id, size_bytes) = hash::of(&mut file, halt)?;
        file.rewind()?;
        Ok(Some(Arrival {
            unit: Unit {
                id,
                name: name.to_string_lossy().into_owned(),
                size_bytes,
            },
            file,
            place: Place::Taken(name),
            since: metadata.modified().unwrap_or_else(|_| SystemTime::now()),
        }))
    }

    /// Returns whether a claimed file is as it was when its identity was found.
    pub(super) fn is_unchanged(&self, name: &OsStr, bytes: u64, since: SystemTime) -> bool {
        // A file that is gone can't have been written to since.
        match fs::symlink_metadata(self.path.join(TAKEN).join(name)) {
            Ok(found) => found.len() == bytes && found.modified().is_ok_and(|own| own == since),
            Err(_) => true,
        }
    }

    /// Moves a claimed file to `done` or `failed`, with its report beside it. A file of its name
    /// that is there already is kept: the new one gets another name.
    pub(super) fn put_away(&self, name: &OsStr, report: &Report) -> io::Result<()> {
        let directory = self
            .path
            .join(if report.is_failed() { FAILED } else { DONE });
        let mut target = directory.join(name);
        if target.exists() {
            target = directory.join(apart(name, &report.unit));
        }
        let mut report_name = target.clone().into_os_string();
        report_name.push(REPORT);
        let mut written = tempfile::NamedTempFile::new_in(&directory)?;
        serde_json::to_writer_pretty(&mut written, report)?;
        written.write_all(b"\n")?;
        let readable = fs::Permissions::from_mode(0o644);
        written.as_file().set_permissions(readable)?;
        written.as_file().sync_all()?;
        written.persist(report_name)?;
        match fs::rename(self.path.join(TAKEN).join(name), target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // An operator has taken it away meanwhile: the report says what it was.
            _ => {}
        }
        File::open(&directory)?.sync_all()
    }
}

// === impl Stat ===

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn add(&mut self, stat: Stat) {
        self.units += 1;
        self.bytes += i64::try_from(stat.bytes).unwrap_or(i64::MAX);
        self.oldest = match (self.oldest, stat.modified) {
            (Some(oldest), Some(modified)) => Some(oldest.min(modified)),
            (oldest, modified) => oldest.or(modified),
        };
    }
}

/// Returns the first name of a directory.
fn first(path: &Path) -> io::Result<Option<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name());
        }
    }
    Ok(names.into_iter().min())
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns a name with a part of the identity before its extension.
fn apart(name: &OsStr, unit: &str) -> OsString {
    let path = Path::new(name);
    let mut apart = path.file_stem().unwrap_or(name).to_owned();
    apart.push("-");
    apart.push(unit.get(..SHORT).unwrap_or(unit));
    if let Some(extension) = path.extension() {
        apart.push(".");
        apart.push(extension);
    }
    apart
}

#[cfg(test)]
mod tests;
