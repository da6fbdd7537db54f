//! Protovalidate's official suite against our validator, without expected failures.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use mesh::cargo;
use mesh::home::Home;
use mesh::ui::Ui;

use super::report::{Failure, Report};
use crate::tools::golang::Module;

const SUITE: &str = "protovalidate-conformance";

const MODULE: Module = Module {
    name: SUITE,
    path: "github.com/bufbuild/protovalidate/tools",
    commands: "",
    programs: &[SUITE],
    files: &[],
};

/// Number of cases in this version of the suite.
const CASES: usize = 2_872;

/// The options of both runs: words of violations are compared, and errors of contracts are told
/// from errors of evaluations.
const STRICT: [&str; 2] = ["--strict_message", "--strict_error"];

/// Runs the suite, strict and not; returns whether everything passed.
pub(super) fn validate(ui: Ui, json: bool) -> Result<bool> {
    let home = Home::find()?;
    let built = MODULE.ensure(&home, ui)?;
    let step = ui.step("building the validator");
    let testee = cargo::build_example(&home, "protomesh-validation", "validate_testee")?;
    step.done();
    let mut has_passed = true;
    for options in [&[][..], &STRICT[..]] {
        let step = ui.step(format!("running the suite {}", options.join(" ")));
        let mut suite = Command::new(built.dir.join(SUITE));
        suite
            .args(options)
            .arg("--")
            .arg(&testee)
            .stdin(Stdio::null());
        let output = suite
            .output()
            .with_context(|| format!("cannot run {SUITE}"))?;
        step.done();
        let version = format!("{} {}", built.version, options.join(" "));
        let report = parse(version.trim_end(), &String::from_utf8_lossy(&output.stderr));
        report.tell(SUITE, json)?;
        has_passed &= report.problems.is_empty();
    }
    Ok(has_passed)
}

/// Reads what the suite prints: a block for each failed case, and the counts in the last line.
fn parse(version: &str, output: &str) -> Report {
    let mut failures: Vec<Failure> = Vec::new();
    let (mut suite, mut counts) = ("", None);
    for line in output.lines() {
        let text = line.trim_start();
        if let Some(rest) = text.strip_prefix("--- FAIL: ") {
            if line.starts_with("---") {
                suite = rest.split(" (").next().unwrap_or(rest);
            } else {
                failures.push(Failure {
                    case: format!("{suite}/{rest}"),
                    sent: None,
                    reason: String::new(),
                });
            }
        } else if text.starts_with("PASS (") || text.starts_with("FAIL (") {
            counts = Some([count(text, "passed: "), count(text, "total: ")]);
        } else if let Some(failure) = failures.last_mut() {
            failure.reason.push_str(line);
            failure.reason.push('\n');
        }
    }
    let [passed, run] = counts.unwrap_or_default();
    let mut problems = Vec::new();
    if run < CASES {
        problems.push(format!("{run} cases were run, which is less than {CASES}"));
    }
    if passed < run {
        problems.push(format!("{} cases failed", run - passed));
    }
    if counts.is_none() {
        let last = output.lines().last().unwrap_or_default();
        problems.push(format!("the suite told no result: {last}"));
    }
    Report {
        version: version.to_owned(),
        run,
        passed,
        failures,
        problems,
    }
}

fn count(line: &str, name: &str) -> usize {
    let rest = line.split(name).nth(1).unwrap_or_default();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_counts_are_read() {
        let output = "--- FAIL: custom (failed: 1, skipped: 0, passed: 2, total: 3)\n   --- FAIL: a/b\n       \
            input: x\n        want: valid\n         got: y\nFAIL (failed: 1, skipped: 0, passed: 2871, total: 2872)\n";
        let report = parse("1", output);
        assert_eq!((report.run, report.passed), (2_872, 2_871));
        assert_eq!(report.failures[0].case, "custom/a/b");
        assert!(report.failures[0].reason.contains("want: valid"));
        assert_eq!(report.problems, ["1 cases failed"]);
        assert_eq!(parse("1", "oops").problems.len(), 2);
    }
}
