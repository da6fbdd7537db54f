//! `cargo xtask fuzz`: builds the fuzz targets with coverage counters and runs each for some CPU
//! time.

mod build;
mod run;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh::home::Home;
use mesh::os::said;
use mesh::ui::{self, Ui};
use serde::Serialize;

use run::{Run, TargetFiles};

/// Crates of the fuzz targets: name and directory.
const CRATES: [(&str, &str); 2] = [
    ("gateway-fuzz", "gateway/fuzz"),
    ("transcoder-fuzz", "gateway/transcoder/fuzz"),
];
const SECONDS: NonZeroU64 = NonZeroU64::new(60).unwrap();

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Targets; all without any
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// CPU seconds for each target
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: NonZeroU64,
    /// Print commit and counts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Campaign {
    /// Commit that was fuzzed; ends with `-dirty` if the checkout has changes.
    commit: String,
    targets: Vec<Run>,
}

pub(super) fn fuzz(args: &Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    let known = known(home.root())?;
    let targets = chosen(&args.targets, &known.keys().cloned().collect::<Vec<_>>())?;
    let commit = commit(&home)?;
    let programs = build::build(&home)?;
    let time = Duration::from_secs(args.seconds.get());
    let mut runs = Vec::new();
    for target in targets {
        let step = ui.bar(format!("fuzzing {target}"));
        let dir = home.root().join(known[&target].1);
        let run = run::run(
            &TargetFiles::of(&dir, &programs, &target),
            &target,
            time,
            &step,
        )?;
        if run.finding.is_none() {
            step.done();
        }
        runs.push(run);
    }
    let report = Campaign {
        commit,
        targets: runs,
    };
    if args.json {
        ui::print(serde_json::to_string_pretty(&report)?);
    } else {
        ui::print(table(&report));
    }
    let findings = report.targets.iter().filter(|run| run.finding.is_some());
    Ok(
        match findings
            .inspect(|run| explain(run, known[&run.target]))
            .count()
        {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
    )
}

/// Returns all targets, which are one program each, with their crates.
fn known(checkout: &Path) -> Result<BTreeMap<String, (&'static str, &'static str)>> {
    let mut known = BTreeMap::new();
    for (package, dir) in CRATES {
        let programs = checkout.join(dir).join("fuzz_targets");
        let describe = || format!("cannot read {}", programs.display());
        for entry in std::fs::read_dir(&programs).with_context(describe)? {
            let path = entry.with_context(describe)?.path();
            let name = path.file_stem().map(|name| name.to_string_lossy().into());
            known.extend(name.map(|name| (name, (package, dir))));
        }
    }
    Ok(known)
}

fn chosen(asked: &[String], known: &[String]) -> Result<Vec<String>> {
    if let Some(stranger) = asked.iter().find(|name| !known.contains(name)) {
        bail!(
            "no fuzz target is named {stranger:?}; known: {}",
            known.join(", ")
        );
    }
    Ok(if asked.is_empty() { known } else { asked }.to_vec())
}

fn commit(home: &Home) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=40"]);
    git.arg("--exclude=*").current_dir(home.root());
    let commit = said(&mut git).context("git can't name the commit")?;
    Ok(commit.trim().to_owned())
}

fn table(report: &Campaign) -> String {
    let header = [
        "target",
        "CPU seconds",
        "executions",
        "corpus",
        "edges",
        "findings",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.targets.iter().map(|run| {
        vec![
            run.target.clone(),
            format!("{:.0}", run.seconds),
            run.executions.to_string(),
            run.corpus.to_string(),
            run.edges.to_string(),
            usize::from(run.finding.is_some()).to_string(),
        ]
    }));
    format!("{}\n\ncommit {}", ui::table(&rows), report.commit)
}

/// Prints a finding and how to keep it as a test.
fn explain(run: &Run, (package, dir): (&str, &str)) {
    let Some(finding) = &run.finding else { return };
    let target = &run.target;
    let input: PathBuf = finding.input.clone().unwrap_or_default();
    ui::print_error(&anyhow::anyhow!(
        "{target}: {}\n  input: {}\n  log: {}\n  Keep it as a test: move the input to {dir}/regressions/{target}/ under a name that says what it is;\n  `cargo test -p {package}` replays it from then on.",
        finding.reason,
        input.display(),
        finding.log.display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_targets_run_unless_some_are_named() {
        let known = ["path".to_owned(), "query".to_owned()];
        assert_eq!(chosen(&[], &known).unwrap(), known);
        assert_eq!(chosen(&known[1..], &known).unwrap(), known[1..]);
    }

    #[test]
    fn an_unknown_target_is_an_error_that_lists_the_known_ones() {
        let error = chosen(&["pth".to_owned()], &["path".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("known: path"), "{error}");
    }
}
