//! Builds the processes of a mesh with Cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::home::Home;

/// Returns Cargo at the root of the workspace: the one that runs this program, if any.
pub fn command(home: &Home) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(home.checkout());
    command
}

/// Returns the directory of this program's profile, which holds the other programs too.
///
/// # Errors
/// When the path of this program is unknown.
pub fn binaries() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let dir = program.parent().unwrap_or(Path::new("."));
    // Tests are one level deeper.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_owned())
}

/// Builds programs of the workspace's default members in the profile of this program; Cargo shows
/// its own progress.
///
/// Packages are not selected, so that Cargo resolves the same features for every build and compiles
/// shared crates once.
///
/// # Errors
/// When the build fails.
pub fn build(home: &Home, programs: &[&str]) -> Result<()> {
    if programs.is_empty() {
        return Ok(());
    }
    build_with(home, programs, &[])
}

/// Builds programs as [`build`] does, with more `features`, each `package/feature`.
///
/// # Errors
/// When the build fails.
pub fn build_with(home: &Home, programs: &[&str], features: &[&str]) -> Result<()> {
    let mut build = command(home);
    build.args(["build", "--profile", &profile()?]);
    build.args(programs.iter().flat_map(|name| ["--bin", name]));
    build.args(features.iter().flat_map(|name| ["--features", name]));
    run(build)
}

/// Builds an example of a package in the profile of this program; returns its path.
///
/// # Errors
/// When the build fails.
pub fn build_example(home: &Home, package: &str, example: &str) -> Result<PathBuf> {
    let mut build = command(home);
    build.args(["build", "--profile", &profile()?, "--package", package]);
    build.args(["--example", example]);
    run(build)?;
    Ok(binaries()?.join("examples").join(example))
}

/// Returns the profile of this program.
fn profile() -> Result<String> {
    let binaries = binaries()?;
    // The directory of the `dev` profile is named `debug`.
    let profile = binaries
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| *name != "debug")
        .unwrap_or("dev");
    Ok(profile.to_owned())
}

fn run(mut build: Command) -> Result<()> {
    let status = build.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build failed");
    }
    Ok(())
}
