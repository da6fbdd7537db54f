//! A newer C library than the system's, borrowed from a newer Debian for the one program that needs it.
//!
//! Debian keeps only the newest build of a package, so that a hash of ours would not last: apt checks Debian's signature.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use mesh::home::{Home, create_dir, lock};
use mesh::os::said;
use mesh::ui::Ui;

/// The release of Debian that has glibc 2.38 or newer.
const SUITE: &str = "trixie";
const PACKAGES: [&str; 3] = ["libc6", "libstdc++6", "libgcc-s1"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Starts programs with a C library of their own.
#[derive(Debug)]
pub(super) struct Loader {
    program: PathBuf,
    libraries: PathBuf,
}

impl Loader {
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(program);
        command
    }

    /// The loader of an unpacked set of packages.
    fn find(unpacked: &Path) -> Option<Self> {
        let in_dir = |dir: &Path, wanted: &dyn Fn(&OsStr) -> bool| {
            let entries = fs::read_dir(dir).ok()?.flatten();
            let mut paths = entries.map(|entry| entry.path());
            paths.find(|path| path.file_name().is_some_and(wanted))
        };
        let triplets = fs::read_dir(unpacked.join("usr/lib")).ok()?.flatten();
        let mut dirs = triplets.map(|entry| entry.path());
        let libraries = dirs.find(|dir| dir.join("libc.so.6").exists())?;
        let program = in_dir(&libraries, &|name| {
            name.to_str()
                .is_some_and(|name| name.starts_with("ld-linux"))
        })?;
        Some(Self { program, libraries })
    }
}

/// Fetches the libraries once; nothing of the system is changed.
///
/// # Errors
/// When this system has no apt, no archive of Debian among its sources, or no network.
pub(super) fn borrow(home: &Home, ui: Ui) -> Result<Loader> {
    let dir = home.engines();
    create_dir(&dir, 0o755)?;
    let _guard = lock(&dir.join("lock"))?;
    let unpacked = dir.join(format!("glibc-{SUITE}"));
    if let Some(loader) = Loader::find(&unpacked) {
        return Ok(loader);
    }
    let step = ui.step(format!("borrowing the C library of Debian {SUITE}"));
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&dir)?;
    download(work.path()).with_context(|| {
        format!(
            "the conformance runner needs glibc 2.38 or newer, and that of Debian {SUITE} could not be borrowed"
        )
    })?;
    let content = work.path().join("content");
    create_dir(&content, 0o755)?;
    unpack(work.path(), &content)?;
    match fs::remove_dir_all(&unpacked) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::rename(&content, &unpacked)?;
    step.done();
    Loader::find(&unpacked).with_context(|| format!("no loader in {}", unpacked.display()))
}

/// Downloads the packages into `work`, with lists and sources of their own.
fn download(work: &Path) -> Result<()> {
    let archive = archive()?;
    for dir in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(dir))?;
    }
    let signed = match Path::new(KEYRING).exists() {
        true => format!("[signed-by={KEYRING}] "),
        false => String::new(),
    };
    fs::write(
        work.join("sources.list"),
        format!("deb {signed}{archive} {SUITE} main\n"),
    )?;
    // As if nothing were installed.
    fs::write(work.join("status"), "")?;
    // Without it, lists that could not be fetched are no more than a warning.
    said(apt(work).args(["-o", "APT::Update::Error-Mode=any", "--quiet", "update"]))?;
    said(apt(work).args(["--quiet", "download"]).args(PACKAGES)).map(drop)
}

/// Where this system gets its Debian packages from, which has the other releases too.
fn archive() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
        "Created-By: Packages",
    ]);
    let lines = said(&mut targets)?;
    let mut archives = lines
        .lines()
        .filter_map(|line| line.strip_prefix("Debian|Debian|"));
    match archives.next() {
        Some(archive) => Ok(archive.to_owned()),
        None => {
            bail!("apt knows no archive of Debian here; run `apt-get update` first if it should")
        }
    }
}

fn apt(work: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(work);
    let paths = [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::Etc::sourceparts", "none"),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
    ];
    for (option, path) in paths {
        command
            .arg("-o")
            .arg(format!("{option}={}", work.join(path).display()));
    }
    // apt would change to an account that can't write here.
    command.args(["-o", "APT::Sandbox::User="]);
    command
}

fn unpack(packages: &Path, into: &Path) -> Result<()> {
    for entry in fs::read_dir(packages)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            said(Command::new("dpkg").arg("-x").arg(path).arg(into))?;
        }
    }
    Ok(())
}
