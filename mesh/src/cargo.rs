//! Builds the processes of a mesh with Cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::home::Home;

/// Name of the gateway's program.
pub const GATEWAY_PROGRAM: &str = "mesh-gateway";

/// Directory of the programs that Cargo builds, and the profile that puts them there.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The directory.
    pub dir: PathBuf,
    /// The profile.
    pub profile: String,
}

/// Returns Cargo at the root of the project: the one that runs this program, if any.
pub fn command(home: &Home) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(home.root());
    command
}

/// Returns where the project's programs are: beside this one if the project has built it, else in
/// the directory of the `dev` profile.
///
/// # Errors
/// When Cargo does not tell the directory.
pub fn binaries(home: &Home) -> Result<Binaries> {
    let own = own_directory()?;
    if own.starts_with(home.root()) || !home.root().join("Cargo.toml").is_file() {
        return Ok(Binaries::of(own));
    }
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let found: Metadata = metadata(home)?;
    Ok(match own.starts_with(&found.target_directory) {
        true => Binaries::of(own),
        false => Binaries::of(found.target_directory.join("debug")),
    })
}

/// Asks Cargo for the project's own packages: the parts of `cargo metadata` that `T` declares.
///
/// # Errors
/// When Cargo fails.
pub(crate) fn metadata<T: DeserializeOwned>(home: &Home) -> Result<T> {
    let mut metadata = command(home);
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = metadata.output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {said}");
    serde_json::from_slice(&output.stdout)
        .context("cargo metadata printed something else than its JSON")
}

/// Finds the gateway's program beside this one or in `PATH`.
///
/// # Errors
/// When it is in neither.
pub(crate) fn installed_gateway() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(own_directory()?).chain(std::env::split_paths(&path));
    let mut programs = dirs.map(|dir| dir.join(GATEWAY_PROGRAM));
    programs.find(|program| program.is_file()).with_context(|| {
        format!(
            "no {GATEWAY_PROGRAM} beside `mesh` or in PATH: run `cargo install protomesh-gateway`"
        )
    })
}

/// Builds programs of the project's default members; Cargo shows its own progress.
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

/// Builds programs as [`build_with`] does, in a known profile.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_in(
    home: &Home,
    profile: &str,
    programs: &[&str],
    features: &[&str],
) -> Result<()> {
    let mut build = command(home);
    build.args(["build", "--profile", profile]);
    build.args(programs.iter().flat_map(|name| ["--bin", name]));
    build.args(features.iter().flat_map(|name| ["--features", name]));
    run(build)
}

/// Builds programs as [`build`] does, with more `features`, each `package/feature`.
///
/// # Errors
/// When the build fails.
pub fn build_with(home: &Home, programs: &[&str], features: &[&str]) -> Result<()> {
    build_in(home, &binaries(home)?.profile, programs, features)
}

/// Builds an example of a package; returns its path.
///
/// # Errors
/// When the build fails.
pub fn build_example(home: &Home, package: &str, example: &str) -> Result<PathBuf> {
    let Binaries { dir, profile } = binaries(home)?;
    let mut build = command(home);
    build.args(["build", "--profile", &profile, "--package", package]);
    build.args(["--example", example]);
    run(build)?;
    Ok(dir.join("examples").join(example))
}

// === impl Binaries ===

impl Binaries {
    fn of(dir: PathBuf) -> Self {
        // The directory of the `dev` profile is named `debug`.
        let name = dir.file_name().and_then(|name| name.to_str());
        let profile = match name {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let profile = profile.to_owned();
        Self { dir, profile }
    }
}

fn own_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let dir = program.parent().unwrap_or(Path::new("."));
    // Tests are one level deeper.
    let dir = match dir.ends_with("deps") {
        true => dir.parent().unwrap_or(dir),
        false => dir,
    };
    Ok(dir.to_owned())
}

fn run(mut build: Command) -> Result<()> {
    let status = build.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build failed");
    }
    Ok(())
}
