//! Directories: the project, its `.mesh/`, and the state directory of each running mesh.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::os::{self, Account};
use crate::project::Project;
use crate::snapshot::Snapshot;

/// Directory of a project that holds its state.
const STATE: &str = ".mesh";
/// Lock of a state directory while a mesh runs in it; the kernel releases it when its owner ends.
const LOCK: &str = "lock";
/// The passwords, in the format of libpq: `PGPASSFILE=.mesh/pgpass psql …` works.
pub(crate) const SECRETS: &str = "pgpass";
/// File in `.mesh/` that names the directory of engines and data, if it is another one.
const LOCATION: &str = "location";
/// Time for which the logs of a failed test are kept.
const FAILED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// A project with its directories.
#[derive(Clone, Debug)]
pub struct Home {
    project: Arc<Project>,
    place: PathBuf,
}

impl Home {
    /// Returns the project of the current directory: the nearest `mesh.toml` in it or above.
    ///
    /// # Errors
    /// When there is none, it is not valid, or its `.mesh/` can't be created or written.
    pub fn find() -> Result<Self> {
        Self::of(Project::here()?)
    }

    /// Returns the directories of a project.
    ///
    /// # Errors
    /// When its `.mesh/` can't be created or written.
    pub fn of(project: Project) -> Result<Self> {
        let mesh = project.root().join(STATE);
        create_dir(&mesh, 0o755)?;
        let place = place(&mesh)
            .with_context(|| format!("no directory for engines and data of {}", mesh.display()))?;
        let project = Arc::new(project);
        Ok(Self { project, place })
    }

    /// Returns the project.
    pub fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// Returns the directory of the project.
    pub fn root(&self) -> &Path {
        self.project.root()
    }

    /// Returns the state directory of `mesh up`.
    pub fn mesh(&self) -> PathBuf {
        self.root().join(STATE)
    }

    /// Returns the directory of the unpacked engines, which all meshes of this project share.
    pub fn engines(&self) -> PathBuf {
        self.place.join("engines")
    }

    /// Returns the directory of port locks, by which meshes that start at once choose different
    /// ports.
    pub fn ports(&self) -> PathBuf {
        self.place.join("ports")
    }

    fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    fn scratch(&self) -> PathBuf {
        self.place.join("scratch")
    }

    /// Returns the directory of the logs of failed runs, which are kept for a day.
    pub fn failed(&self) -> PathBuf {
        self.place.join("failed")
    }
}

/// Locked directory of one mesh.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    data: PathBuf,
    // Fields drop in this order: the directory before its lock.
    _temporary: Option<Temporary>,
    _lock: File,
}

impl StateDir {
    /// Locks the directory of `mesh up`; `None` when a mesh runs in it.
    ///
    /// # Errors
    /// When it can't be created or locked.
    pub fn of_up(home: &Home) -> Result<Option<Self>> {
        let Some(lock) = try_lock(&home.mesh().join(LOCK))? else {
            return Ok(None);
        };
        Ok(Some(Self {
            path: home.mesh(),
            data: home.data(),
            _temporary: None,
            _lock: lock,
        }))
    }

    /// Creates an empty directory that is deleted on drop; in a panic its logs are kept for a day.
    ///
    /// Directories and processes of killed owners are removed first.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn scratch(home: &Home) -> Result<Self> {
        let scratch = home.scratch();
        create_dir(&scratch, 0o755)?;
        // Without it, another process would take a directory that isn't locked yet for abandoned.
        let _guard = lock(&scratch.join(LOCK))?;
        sweep(&scratch);
        forget_failed(&home.failed());
        let temporary = tempfile::Builder::new()
            .prefix("mesh-")
            .tempdir_in(&scratch)?;
        // As root, Postgres runs under another account and has to enter.
        fs::set_permissions(temporary.path(), Permissions::from_mode(0o711))?;
        let path = temporary.path().to_owned();
        let lock = lock(&path.join(LOCK))?;
        let temporary = Temporary {
            dir: temporary,
            failed: home.failed(),
        };
        Ok(Self {
            data: path.join("data"),
            path,
            _temporary: Some(temporary),
            _lock: lock,
        })
    }

    /// Returns the directory of state, secrets, configuration and logs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory of the engines' data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Deletes data and passwords; ports and engines stay.
    ///
    /// # Errors
    /// When a file can't be deleted.
    pub fn wipe(&self) -> Result<()> {
        for path in [self.data.clone(), self.path.join(SECRETS)] {
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot delete {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Temporary {
    dir: tempfile::TempDir,
    failed: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let kept = self
            .failed
            .join(self.dir.path().file_name().unwrap_or_default());
        let moved = create_dir(&self.failed, 0o755).is_ok()
            && fs::rename(self.dir.path().join("logs"), &kept).is_ok();
        if moved {
            eprintln!("mesh: logs of the failed run: {}", kept.display());
        }
    }
}

/// Creates `dir` and its parents with this mode, regardless of the umask.
pub fn create_dir(dir: &Path, mode: u32) -> Result<()> {
    let describe = || format!("cannot create {} with mode {mode:o}", dir.display());
    fs::create_dir_all(dir).with_context(describe)?;
    if fs::metadata(dir).with_context(describe)?.mode() & 0o7777 != mode {
        fs::set_permissions(dir, Permissions::from_mode(mode)).with_context(describe)?;
    }
    Ok(())
}

/// Waits for an exclusive lock on a lock file.
pub fn lock(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Tries to lock a lock file; `None` when it is locked already.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>> {
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Returns `mesh`, or a directory under `/var/tmp` if the account of Postgres can't enter `mesh`.
fn place(mesh: &Path) -> Result<PathBuf> {
    let note = mesh.join(LOCATION);
    // The choice is kept: data must not seem lost when permissions change.
    if let Ok(chosen) = fs::read_to_string(&note) {
        return own_dir(PathBuf::from(chosen.trim()));
    }
    let Some(account) = Account::unprivileged() else {
        return Ok(mesh.to_owned());
    };
    if account.can_enter(mesh) {
        return Ok(mesh.to_owned());
    }
    let hash = Sha256::digest(mesh.as_os_str().as_encoded_bytes());
    let hash: String = hash
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let chosen = own_dir(PathBuf::from(format!("/var/tmp/protomesh-{hash}")))?;
    fs::write(&note, format!("{}\n", chosen.display()))?;
    Ok(chosen)
}

/// Creates `dir` in a directory that is writable for all; another user may have planted the name.
///
/// Owner and mode are those of the opened directory, so no link is followed, not even one that is
/// planted in between.
fn own_dir(dir: PathBuf) -> Result<PathBuf> {
    match fs::DirBuilder::new().mode(0o755).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", dir.display()));
        }
        _ => {}
    }
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&dir)
        .with_context(|| format!("{} is not a directory of this user", dir.display()))?;
    let found = opened.metadata()?;
    if found.uid() != os::effective_uid() {
        bail!("{} belongs to another user", dir.display());
    }
    if found.mode() & 0o7777 != 0o755 {
        opened.set_permissions(Permissions::from_mode(0o755))?;
    }
    Ok(dir)
}

/// Stops the processes of killed owners of scratch directories and deletes the directories.
fn sweep(scratch: &Path) {
    let Ok(entries) = fs::read_dir(scratch) else {
        return;
    };
    for dir in entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let Ok(Some(_abandoned)) = try_lock(&dir.join(LOCK)) else {
            continue;
        };
        if let Some(snapshot) = Snapshot::load(&dir) {
            snapshot.stop_orphans();
        }
        if let Err(error) = fs::remove_dir_all(&dir) {
            tracing::warn!(%error, dir = %dir.display(), "cannot delete an abandoned mesh");
        }
    }
}

fn forget_failed(failed: &Path) {
    let Ok(entries) = fs::read_dir(failed) else {
        return;
    };
    for entry in entries.flatten() {
        let modified = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        if modified
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|age| age > FAILED_KEPT)
        {
            // An error is ignored: the next run tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_link_is_refused_and_what_it_names_keeps_its_mode() {
        let shared = tempfile::tempdir().unwrap();
        let private = shared.path().join("private");
        create_dir(&private, 0o700).unwrap();
        let planted = shared.path().join("planted");
        std::os::unix::fs::symlink(&private, &planted).unwrap();
        own_dir(planted).unwrap_err();
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_of_this_user_gets_the_mode() {
        let shared = tempfile::tempdir().unwrap();
        let dir = shared.path().join("mesh");
        create_dir(&dir, 0o700).unwrap();
        own_dir(dir.clone()).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o755);
    }
}
