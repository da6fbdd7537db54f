//! Protobuf's conformance suite against the transcoder, without expected failures or skipped cases.

mod libc;
mod outcome;
mod runner;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use mesh::cargo;
use mesh::home::Home;
use mesh::os::said;
use mesh::ui::{self, Ui};
use serde::Serialize;

use outcome::EditionResult;
use runner::Runner;

/// Editions: a run has all cases up to one.
const EDITIONS: [&str; 2] = ["PROTO3", "UNSTABLE"];
/// Number of proto2 and proto3 cases in this version of the suite.
const CASES: usize = 2_817;
/// Files of the cases' message types below the include directory.
const MESSAGES: &str = "conformance/messages";

#[derive(Debug, Serialize)]
struct SuiteRuns {
    version: String,
    runs: Vec<EditionResult>,
    problems: Vec<String>,
}

/// Runs the suite; returns whether everything passed.
pub(super) fn protobuf(ui: Ui, json: bool) -> Result<bool> {
    let home = Home::find()?;
    let runner = Runner::ensure(&home, ui)?;
    let step = ui.step("compiling the suite's messages");
    let work = tempfile::tempdir()?;
    let set = compile(&runner, work.path())?;
    step.done();
    let testee = cargo::build_example(&home, "protomesh-transcoder", "conformance_testee")?;
    starts(&testee, &set)?;
    let mut runs = Vec::new();
    for edition in EDITIONS {
        let step = ui.step(format!("running the cases up to {edition}"));
        runs.push(runner.run(edition, &testee, &set, work.path())?);
        step.done();
    }
    let report = SuiteRuns {
        version: runner.version,
        problems: problems(&runs),
        runs,
    };
    tell(&report, json)?;
    Ok(report.problems.is_empty())
}

/// Writes a descriptor set of all message types of the cases.
fn compile(runner: &Runner, work: &Path) -> Result<PathBuf> {
    let dir = runner.include.join(MESSAGES);
    let describe = || format!("cannot read {}", dir.display());
    let entries = std::fs::read_dir(&dir).with_context(describe)?;
    let mut files = entries
        .map(|entry| entry.map(|entry| Path::new(MESSAGES).join(entry.file_name())))
        .collect::<Result<Vec<_>, _>>()
        .with_context(describe)?;
    files.sort();
    let set = work.join("messages.binpb");
    let mut protoc = Command::new(&runner.protoc);
    protoc
        .args(["--experimental_editions", "--include_imports"])
        .arg(prefixed("--proto_path=", &runner.include))
        .arg(prefixed("--descriptor_set_out=", &set))
        .args(&files);
    said(&mut protoc)?;
    Ok(set)
}

/// Starts the testee once: the runner would wait long for one that ends at once, and not say why.
fn starts(testee: &Path, set: &Path) -> Result<()> {
    said(Command::new(testee).arg(set).stdin(Stdio::null())).map(drop)
}

fn prefixed(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}

/// Returns reasons why the suite is not passed, failed cases among them.
fn problems(runs: &[EditionResult]) -> Vec<String> {
    let mut problems = Vec::new();
    for run in runs {
        let edition = &run.maximum_edition;
        if !run.failures.is_empty() {
            problems.push(format!(
                "up to {edition}, {} cases failed",
                run.failures.len()
            ));
        }
        if run.skipped > 0 {
            problems.push(format!(
                "up to {edition}, {} cases were skipped",
                run.skipped
            ));
        }
        if run.run < CASES {
            problems.push(format!(
                "up to {edition}, {} cases were run, which is less than the {CASES} of proto2 and proto3",
                run.run
            ));
        }
    }
    problems
}

fn tell(report: &SuiteRuns, json: bool) -> Result<()> {
    if json {
        ui::print(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for run in &report.runs {
        for failure in &run.failures {
            ui::print(failure);
        }
    }
    let header = ["up to", "run", "passed", "failed", "skipped", "text format"];
    let mut rows = vec![header.map(String::from).to_vec()];
    rows.extend(report.runs.iter().map(|run| {
        let counts = [run.run, run.passed, run.failures.len(), run.skipped];
        let counts = counts.iter().map(usize::to_string);
        let text_format = format!("{} skipped", run.text_format_skipped);
        let edition = std::iter::once(run.maximum_edition.clone());
        edition.chain(counts).chain([text_format]).collect()
    }));
    ui::print(ui::table(&rows));
    ui::print(match report.problems.as_slice() {
        [] => format!("passed: protobuf conformance {}", report.version),
        problems => format!("FAILED: {}", problems.join("; ")),
    });
    Ok(())
}
