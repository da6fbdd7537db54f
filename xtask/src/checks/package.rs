//! `cargo xtask package`: the archive of crates that the package of the command needs.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use mesh::home::Home;
use mesh::ui;

#[path = "../../../mesh/cli/build/pack.rs"]
mod pack;

/// The file, which git ignores and the package includes.
const FILE: &str = "mesh/cli/crates.zip";

/// Writes the archive that the build script of the command makes in a checkout; in a package it
/// finds this file instead.
pub(crate) fn package() -> Result<ExitCode> {
    let home = Home::find()?;
    let packed = pack::workspace(home.root()).map_err(|error| anyhow!("{error}"))?;
    let file = home.root().join(FILE);
    std::fs::write(&file, &packed.archive)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let (kib, inputs) = (packed.archive.len() / 1024, packed.inputs.len());
    ui::print(format!(
        "{FILE}: {kib} KiB of {inputs} inputs; next: cargo publish --workspace --dry-run"
    ));
    Ok(ExitCode::SUCCESS)
}
