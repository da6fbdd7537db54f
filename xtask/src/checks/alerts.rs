//! `cargo xtask alerts`: the alerts of `deploy/alerts`, their tests and their runbooks.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use mesh::home::Home;
use mesh::ui::Ui;

const DIRECTORY: &str = "deploy/alerts";
const PROGRAM: &str = "promtool";
/// The page with an entry for each alert.
const RUNBOOKS: &str = "docs/operations.md";
/// Ends of the names of rules, and of their tests, with the command of promtool.
const KINDS: [(&str, &str); 2] = [(".rules.yaml", "check"), (".test.yaml", "test")];

/// Checks the rules, that each alert fires, and that it has a runbook; exits with 1 if not.
///
/// # Errors
/// When promtool is missing or can't be run, or a file lacks its test or an alert its runbook.
pub(crate) fn alerts() -> Result<ExitCode> {
    let files = files()?;
    if !is_installed()? {
        bail!("{PROGRAM} is not on PATH; Debian has it in the package `prometheus`");
    }
    let directory = Home::find()?.root().join(DIRECTORY);
    for (end, verb) in KINDS {
        let chosen = files.iter().filter(|name| name.ends_with(end));
        let mut command = Command::new(PROGRAM);
        command.args([verb, "rules"]).args(chosen);
        let status = command.current_dir(&directory).status();
        if !status.context("cannot run promtool")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the files of rules and tests: each file of rules has one of tests, and each of its
/// alerts an entry in the runbooks.
fn files() -> Result<BTreeSet<String>> {
    let root = Home::find()?.root().to_owned();
    let entries = std::fs::read_dir(root.join(DIRECTORY)).context(DIRECTORY)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let files: BTreeSet<String> = names.collect::<Result<_>>()?;
    let runbooks = std::fs::read_to_string(root.join(RUNBOOKS)).context(RUNBOOKS)?;
    let headings: BTreeSet<&str> = runbooks
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let [(rules, _), (tests, _)] = KINDS;
    for name in files.iter().filter(|name| name.ends_with(rules)) {
        let test = name.replace(rules, tests);
        ensure!(files.contains(&test), "{DIRECTORY}/{name} has no {test}");
        let text = std::fs::read_to_string(root.join(DIRECTORY).join(name)).context(DIRECTORY)?;
        let alerts = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- alert: "));
        for alert in alerts {
            ensure!(
                headings.contains(alert),
                "{RUNBOOKS} has no entry `### {alert}` for an alert of {DIRECTORY}/{name}"
            );
        }
    }
    Ok(files)
}

/// Like [`alerts`], but only says so where promtool is missing.
pub(crate) fn alerts_if_installed() -> Result<ExitCode> {
    files()?;
    if is_installed()? {
        return alerts();
    }
    Ui::detect().note(format!("alerts are not checked, without {PROGRAM}"));
    Ok(ExitCode::SUCCESS)
}

fn is_installed() -> Result<bool> {
    match Command::new(PROGRAM).arg("--version").output() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("cannot run promtool"),
    }
}
