//! Builds the programs of the fuzz targets.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::home::Home;
use mesh::os::said;

use super::CRATES;

/// SanitizerCoverage for libFuzzer (clang's `-fsanitize=fuzzer-no-link`), which stable compilers
/// have too: edge counters, their addresses, and the operands of comparisons.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// Separator in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// Builds the programs and returns their directory, a separate one: their flags would rebuild all
/// crates.
pub(super) fn build(home: &Home) -> Result<PathBuf> {
    let host = host()?;
    let binaries = cargo::binaries(home)?.dir;
    let target = binaries.parent().unwrap_or(&binaries).join("fuzz");
    // With `--target`, the flags don't apply to build scripts and macros.
    let status = cargo::command(home)
        .args(["build", "--bins"])
        .args(
            CRATES
                .iter()
                .flat_map(|(package, _)| ["--package", package]),
        )
        .args(["--features", "libfuzzer", "--profile", "fuzz"])
        .args(["--target", &host, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join(SEPARATOR))
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the fuzz targets do not build");
    }
    Ok(target.join(host).join("fuzz"))
}

/// Returns the platform of the compiler.
fn host() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = said(Command::new(compiler).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc prints no host")?.to_owned())
}
