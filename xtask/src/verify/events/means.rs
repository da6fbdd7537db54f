//! Means of faults: a copy of data, a clock that can be set, a small disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use mesh::os::said;

use super::arena::Variables;

/// Directories of libfaketime on the systems of Debian.
const LIBRARIES: [&str; 2] = ["x86_64-linux-gnu", "aarch64-linux-gnu"];

/// Means of a fault, made when its arena is opened.
#[derive(Debug)]
pub(super) struct Means {
    /// The copy of the data to go back to.
    pub(super) copy: tempfile::TempDir,
    /// The file that libfaketime reads.
    pub(super) clock: Option<Clock>,
    pub(super) disk: Option<Disk>,
}

#[derive(Debug)]
pub(super) struct Clock {
    file: PathBuf,
    library: PathBuf,
}

/// A small file system in the place of an engine's data; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Disk {
    data: PathBuf,
}

/// Copies a directory into another one, with the owners of its files.
pub(super) fn copy(from: &Path, into: &Path) -> Result<()> {
    said(Command::new("cp").arg("-a").arg(from).arg(into)).map(drop)
}

/// Deletes what is in a directory, but not the directory: a file system may be mounted on it.
pub(super) fn empty(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path)?,
            false => std::fs::remove_file(&path)?,
        }
    }
    Ok(())
}

pub(super) fn library() -> Option<PathBuf> {
    let paths = LIBRARIES.map(|system| {
        Path::new("/usr/lib")
            .join(system)
            .join("faketime/libfaketimeMT.so.1")
    });
    paths.into_iter().find(|path| path.is_file())
}

pub(super) fn can_mount() -> bool {
    let probe = || -> Result<()> {
        let dir = tempfile::tempdir()?;
        mount(dir.path(), "1m")?;
        unmount(dir.path())
    };
    probe().is_ok()
}

fn mount(dir: &Path, size: &str) -> Result<()> {
    let options = format!("size={size}");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
        .arg(dir);
    said(&mut mount).map(drop)
}

fn unmount(dir: &Path) -> Result<()> {
    said(Command::new("umount").arg("--lazy").arg(dir)).map(drop)
}

// === impl Clock ===

impl Clock {
    pub(super) fn new() -> Result<Self> {
        let (_, file) = tempfile::Builder::new()
            .prefix("clock-")
            .tempfile()?
            .keep()?;
        let library = library().context("libfaketime is not installed")?;
        let clock = Self { file, library };
        // Postgres runs under another account.
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&clock.file, std::fs::Permissions::from_mode(0o644))?;
        clock.set("+0")?;
        Ok(clock)
    }

    pub(super) fn set(&self, offset: &str) -> Result<()> {
        Ok(std::fs::write(&self.file, format!("{offset}\n"))?)
    }

    pub(super) fn variables(&self) -> Variables {
        let text = |path: &Path| path.display().to_string();
        let pairs = [
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file)),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).to_vec()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // It may be gone.
        let _ = std::fs::remove_file(&self.file);
    }
}

// === impl Disk ===

impl Disk {
    const SIZE: &str = "200m";
    const FILLER: &str = "filler";

    /// Moves `data` to a small file system, mounted in its place.
    pub(super) fn under(data: PathBuf) -> Result<Self> {
        let aside = data.with_extension("aside");
        said(Command::new("cp").arg("-a").arg(&data).arg(&aside))?;
        empty(&data)?;
        mount(&data, Self::SIZE)?;
        let disk = Self { data };
        // The directory itself has an owner and a mode too.
        said(
            Command::new("cp")
                .args(["-a", "-T"])
                .arg(&aside)
                .arg(&disk.data),
        )?;
        std::fs::remove_dir_all(&aside)?;
        Ok(disk)
    }

    pub(super) fn fill(&self) -> Result<()> {
        let file = std::fs::File::create(self.data.join(Self::FILLER))?;
        let chunk = vec![0; 1 << 16];
        while std::io::Write::write_all(&mut &file, &chunk).is_ok() {}
        Ok(())
    }

    pub(super) fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.data.join(Self::FILLER))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the engine may still hold files.
        let _ = unmount(&self.data);
    }
}
