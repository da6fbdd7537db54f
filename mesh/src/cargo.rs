//! Builds what a mesh runs, and reads how the workspace's packages depend on each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::home::Home;
use crate::os::said;

/// Cargo, at the root of the workspace; the one that runs us, if one does.
pub fn command(home: &Home) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(home.checkout());
    command
}

/// The directory of this program's profile, where Cargo puts the other binaries too.
///
/// # Errors
/// When the system doesn't say where this program is.
pub fn binaries() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find out where this program is")?;
    let dir = program.parent().unwrap_or(Path::new("."));
    // Test binaries lie one level deeper.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_owned())
}

/// Builds the binaries of `packages` in the profile of this program; Cargo shows its own progress.
///
/// # Errors
/// When the build fails.
pub fn build(home: &Home, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let mut build = command(home);
    build.args(["build", "--bins", "--profile", &profile()?]);
    for package in packages {
        build.args(["--package", package]);
    }
    run(build)
}

/// Builds an example of a package in the profile of this program, and says where it is.
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

/// The profile that this program was built in.
fn profile() -> Result<String> {
    let binaries = binaries()?;
    // The directory of the `dev` profile has another name than the profile.
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

/// For each package of the product (under `shared/` or `gateway/`) the packages of the example mesh that it reaches; none should.
///
/// # Errors
/// When Cargo can't describe the workspace.
pub fn product_leaks(home: &Home) -> Result<Vec<String>> {
    let mut cargo = command(home);
    let text = said(cargo.args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cannot read what cargo metadata says")?;
    Ok(leaks(&metadata, home.checkout()))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    /// Only of a dependency inside the workspace.
    path: Option<PathBuf>,
}

impl Package {
    fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

fn leaks(metadata: &Metadata, checkout: &Path) -> Vec<String> {
    let packages: BTreeMap<&Path, &Package> = metadata
        .packages
        .iter()
        .map(|package| (package.dir(), package))
        .collect();
    let is_product = |package: &Package| {
        ["shared", "gateway"]
            .iter()
            .any(|dir| package.dir().starts_with(checkout.join(dir)))
    };
    let mut found = Vec::new();
    for product in packages.values().filter(|package| is_product(package)) {
        // Whatever a product package depends on inside the workspace must be the product too: no need to look further.
        for dependency in product
            .dependencies
            .iter()
            .filter_map(|dependency| dependency.path.as_deref())
        {
            if let Some(other) = packages.get(dependency).filter(|other| !is_product(other)) {
                found.push(format!("{} depends on {}", product.name, other.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_package_that_depends_on_the_example_is_found() {
        let metadata = r#"{"packages": [
            {"name": "protos", "manifest_path": "/w/Cargo.toml", "dependencies": [{"path": "/w/shared/contract"}]},
            {"name": "contract", "manifest_path": "/w/shared/contract/Cargo.toml", "dependencies": [{"path": null}]},
            {"name": "gateway", "manifest_path": "/w/gateway/Cargo.toml", "dependencies": [{"path": "/w/shared/contract"}, {"path": "/w"}]},
            {"name": "orders", "manifest_path": "/w/services/orders/Cargo.toml", "dependencies": [{"path": "/w"}]}
        ]}"#;
        let metadata: Metadata = serde_json::from_str(metadata).unwrap();
        assert_eq!(
            leaks(&metadata, Path::new("/w")),
            ["gateway depends on contracts"]
        );
    }
}
