//! Where things lie: the checkout, its `.mesh/`, and the state directory of each running mesh.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::os::{self, Account};
use crate::snapshot::Snapshot;

/// Held for as long as a mesh runs in a state directory; the kernel releases it however its owner ends.
const LOCK: &str = "lock";
/// The passwords, in the format of libpq: `PGPASSFILE=.mesh/pgpass psql …` works.
pub(crate) const SECRETS: &str = "pgpass";
/// Says in `.mesh/` where engines and data are, when they could not stay there.
const LOCATION: &str = "location";
/// How long the logs of a failed test are kept.
const FAILED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// The directories of a checkout.
#[derive(Clone, Debug)]
pub struct Home {
    checkout: PathBuf,
    place: PathBuf,
}

impl Home {
    /// The checkout that this program was built from.
    ///
    /// # Errors
    /// When its `.mesh/` can't be created or written.
    pub fn of_checkout() -> Result<Self> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checkout = package.parent().unwrap_or(package).to_owned();
        let mesh = checkout.join(".mesh");
        create_dir(&mesh, 0o755)?;
        let place = place(&mesh).with_context(|| {
            format!(
                "cannot find a place for engines and data of {}",
                mesh.display()
            )
        })?;
        Ok(Self { checkout, place })
    }

    /// The root of the workspace.
    pub fn checkout(&self) -> &Path {
        &self.checkout
    }

    /// The state directory of `mesh up`.
    pub fn mesh(&self) -> PathBuf {
        self.checkout.join(".mesh")
    }

    /// Where the engines are unpacked, shared by every mesh of this checkout.
    pub fn engines(&self) -> PathBuf {
        self.place.join("engines")
    }

    /// Where locks on ports are, so that two meshes that start at once don't choose the same.
    pub fn ports(&self) -> PathBuf {
        self.place.join("ports")
    }

    fn data(&self) -> PathBuf {
        self.place.join("data")
    }

    fn scratch(&self) -> PathBuf {
        self.place.join("scratch")
    }

    /// Where the logs of failed runs are kept for a day.
    pub fn failed(&self) -> PathBuf {
        self.place.join("failed")
    }
}

/// The directory of one mesh, locked against a second one.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    data: PathBuf,
    // Fields drop in this order: the directory goes before its lock.
    _temporary: Option<Temporary>,
    _lock: File,
}

impl StateDir {
    /// The directory of `mesh up`; `None` when a mesh runs in it.
    ///
    /// # Errors
    /// When it can't be created or locked.
    pub fn checkout(home: &Home) -> Result<Option<Self>> {
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

    /// A new, empty directory that is deleted on drop; the logs are kept for a day when that happens in a panic.
    ///
    /// What earlier owners left behind when they were killed (directories and processes) is cleared away first.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn scratch(home: &Home) -> Result<Self> {
        let scratch = home.scratch();
        create_dir(&scratch, 0o755)?;
        // Without it, a directory that isn't locked yet would look abandoned to another process.
        let _guard = lock(&scratch.join(LOCK))?;
        sweep(&scratch);
        forget_failed(&home.failed());
        let temporary = tempfile::Builder::new()
            .prefix("mesh-")
            .tempdir_in(&scratch)?;
        // Postgres runs under another account when we are root, and has to pass through.
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

    /// Where state, secrets, configuration and logs lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engines keep their data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Deletes the data and the secrets that open it; ports and engines stay.
    ///
    /// # Errors
    /// When something can't be deleted.
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

/// Creates `dir` and its parents, with this mode whatever the umask is.
pub fn create_dir(dir: &Path, mode: u32) -> Result<()> {
    let describe = || format!("cannot create {} with mode {mode:o}", dir.display());
    fs::create_dir_all(dir).with_context(describe)?;
    if fs::metadata(dir).with_context(describe)?.mode() & 0o7777 != mode {
        fs::set_permissions(dir, Permissions::from_mode(mode)).with_context(describe)?;
    }
    Ok(())
}

/// Waits for an exclusive lock on a file that exists for nothing else.
pub fn lock(path: &Path) -> Result<File> {
    let file = open_lock(path)?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// Takes an exclusive lock; `None` when someone else has it.
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

/// `mesh` itself, or a directory under `/var/tmp` where the account of Postgres can't get to it.
fn place(mesh: &Path) -> Result<PathBuf> {
    let note = mesh.join(LOCATION);
    // Once chosen it stays: permissions may change, the data must not seem to vanish.
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

/// Creates `dir` where anyone may write, so the name may have been taken by someone else.
fn own_dir(dir: PathBuf) -> Result<PathBuf> {
    create_dir(&dir, 0o755)?;
    let found = fs::symlink_metadata(&dir)?;
    if !found.is_dir() || found.uid() != os::effective_uid() {
        bail!("{} belongs to someone else", dir.display());
    }
    Ok(dir)
}

/// Stops what killed owners of scratch directories left running, and deletes the directories.
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
            // Someone may have the files open or have deleted them: the next run tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
