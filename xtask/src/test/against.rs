//! `cargo mesh test --against URL`: the end-to-end tests that run against any mesh.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use mesh::cargo;
use mesh::home::Home;
use mesh::ui;

/// Variable that tells the tests where the gateway is; `integration_tests::AGAINST`.
const AGAINST: &str = "MESH_AGAINST";
/// The module of the tests that need nothing but a gateway.
const ANYWHERE: &str = "anywhere::";
/// The program of the end-to-end tests; another package has one of the same name.
const PROGRAM: [&str; 6] = [
    "test",
    "--quiet",
    "--package",
    "integration-tests",
    "--test",
    "it",
];

/// Runs the tests of [`ANYWHERE`] with `filter` in their names, one after another, against the
/// gateway at `url`; tells which others are skipped.
///
/// # Errors
/// When one fails, or there is none.
pub(super) fn run(home: &Home, url: &str, filter: Option<&str>) -> Result<()> {
    let names = list(home)?;
    let (chosen, skipped): (Vec<_>, Vec<_>) = names
        .iter()
        .map(String::as_str)
        .filter(|name| filter.is_none_or(|filter| name.contains(filter)))
        .partition(|name| name.starts_with(ANYWHERE));
    ensure!(
        !chosen.is_empty(),
        "no test of {ANYWHERE} has this in its name"
    );
    let mut test = cargo::command(home);
    test.args(PROGRAM).args(["--", "--exact"]).args(&chosen);
    // The mesh has not been started for them alone, so that it may be slow.
    test.arg("--test-threads=1").env(AGAINST, url);
    let status = test.status().context("cannot run cargo")?;
    ui::print(format!(
        "{} tests ran against {url}; {} need processes of their own and were skipped:",
        chosen.len(),
        skipped.len()
    ));
    for name in &skipped {
        ui::print(format!("  {name}"));
    }
    ensure!(status.success(), "a test failed against {url}");
    Ok(())
}

/// Returns the names of all end-to-end tests.
fn list(home: &Home) -> Result<Vec<String>> {
    let mut list = cargo::command(home);
    list.args(PROGRAM)
        .args(["--", "--list", "--format", "terse"]);
    let output = list.stderr(Stdio::inherit()).output();
    let output = output.context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cannot list the tests ({})",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}
