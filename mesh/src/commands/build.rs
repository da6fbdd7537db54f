//! Builds the processes of a mesh: programs by Cargo, and the commands of other services.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::cargo;
use crate::home::{Home, create_dir};
use crate::project::{Argv, Run, Service};
use crate::stack::StackOptions;
use crate::ui::Ui;

/// Most files whose changes are noticed; a directory with more is built each time.
const MAX_FILES: usize = 20_000;

/// Builds what the chosen processes need. The commands of a service run again only after a change
/// of its files, of the contracts, or of the commands.
///
/// # Errors
/// When a build fails; its output has been shown.
pub(crate) fn build(home: &Home, options: &StackOptions, ui: Ui) -> Result<()> {
    let programs = options.programs();
    if !programs.is_empty() {
        ui.note("building the programs");
        cargo::build_in(home, options.profile(), &programs, &[])?;
    }
    for service in options.services() {
        build_by_commands(home, service, ui)?;
    }
    Ok(())
}

fn build_by_commands(home: &Home, service: &Service, ui: Ui) -> Result<()> {
    let Run::Command { build, .. } = &service.run else {
        return Ok(());
    };
    if build.is_empty() {
        return Ok(());
    }
    let stamps = home.mesh().join("build");
    create_dir(&stamps, 0o755)?;
    let stamp = stamps.join(&service.name);
    let now = fingerprint(home, service, build)?;
    if now.is_some() && fs::read_to_string(&stamp).ok() == now {
        return Ok(());
    }
    let step = ui.step(format!("building {}", service.name));
    for command in build {
        let output = command.command(home.root()).output();
        let output =
            output.with_context(|| format!("{}: cannot run {}", service.name, command.program))?;
        if !output.status.success() {
            bail!(
                "{}: `{command}` failed ({}):\n{}{}",
                service.name,
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    step.done();
    // Taken again: the build may have written files.
    if let Some(built) = fingerprint(home, service, build)? {
        fs::write(&stamp, built).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(())
}

/// Returns a digest of the commands and of all files that the service is built from; `None` if
/// there are too many.
fn fingerprint(home: &Home, service: &Service, build: &[Argv]) -> Result<Option<String>> {
    let mut files = Vec::new();
    for dir in sources(home, service) {
        if !list(&dir, &mut files)? {
            return Ok(None);
        }
    }
    files.sort();
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(build)?);
    for file in files {
        let Ok(metadata) = fs::metadata(&file) else {
            continue;
        };
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
        let changed = changed.unwrap_or_default().as_nanos();
        digest.update(file.as_os_str().as_encoded_bytes());
        digest.update(changed.to_le_bytes());
        digest.update(metadata.len().to_le_bytes());
    }
    let digest = digest.finalize();
    Ok(Some(
        digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

/// Returns the directories that a service is built from: those that it declares, else the one of
/// its name; and the contracts.
pub(crate) fn sources(home: &Home, service: &Service) -> Vec<PathBuf> {
    let declared = service.watch.iter().map(|dir| home.root().join(dir));
    let mut dirs: Vec<PathBuf> = declared.collect();
    if dirs.is_empty() {
        dirs.push(home.root().join("services").join(&service.name));
    }
    dirs.push(home.root().join("proto"));
    dirs
}

/// Lists the files below `dir`; returns whether these are all.
fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<bool> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(true);
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // What builds and editors leave.
        if name.starts_with('.') || ["node_modules", "target", "__pycache__"].contains(&&*name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            if !list(&entry.path(), files)? {
                return Ok(false);
            }
        } else if files.len() >= MAX_FILES {
            return Ok(false);
        } else {
            files.push(entry.path());
        }
    }
    Ok(true)
}
