//! One target under libFuzzer, and what it reports.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use mesh::os::{self, Signal};
use mesh::ui::Step;
use serde::Serialize;

/// Longest input that is tried; what is large only by repetition belongs into tests.
const MAX_BYTES: u32 = 2048;
/// An input that takes longer is a finding.
const SLOW_SECONDS: u32 = 10;
/// A process that grows beyond is a finding.
const MAX_MEGABYTES: u32 = 2048;
/// What follows the message of a panic.
const ENDS: [&str; 3] = ["note: ", "stack backtrace:", "=="];
const POLL: Duration = Duration::from_millis(100);

/// What one target has come to.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) target: String,
    /// CPU time used.
    pub(super) seconds: f64,
    pub(super) executions: u64,
    /// Inputs that reach something which no other does.
    pub(super) corpus: u64,
    /// Edges of the program that were reached.
    pub(super) edges: u64,
    pub(super) finding: Option<Finding>,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) reason: String,
    /// What the target fails on.
    pub(super) input: Option<PathBuf>,
    pub(super) log: PathBuf,
}

/// Files of one target.
pub(super) struct Places {
    program: PathBuf,
    log: PathBuf,
    /// Grows from run to run.
    corpus: PathBuf,
    /// Inputs that are only read: seeds, and findings of the past.
    seeds: Vec<PathBuf>,
    dictionary: PathBuf,
    artifacts: PathBuf,
}

// === impl Places ===

impl Places {
    pub(super) fn of(dir: &Path, programs: &Path, target: &str) -> Self {
        let seeds = ["corpus", "regressions"].map(|kind| dir.join(kind).join(target));
        Places {
            program: programs.join(format!("fuzz-{target}")),
            log: programs.join(format!("{target}.log")),
            corpus: programs.join("corpus").join(target),
            seeds: seeds.into_iter().filter(|dir| dir.is_dir()).collect(),
            dictionary: dir.join("dictionaries").join(format!("{target}.dict")),
            artifacts: dir.join("artifacts").join(target),
        }
    }

    fn command(&self) -> Result<Command> {
        for dir in [&self.corpus, &self.artifacts] {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-max_len={MAX_BYTES}"))
            .arg(format!("-timeout={SLOW_SECONDS}"))
            .arg(format!("-rss_limit_mb={MAX_MEGABYTES}"))
            .arg(format!("-artifact_prefix={}/", self.artifacts.display()))
            .arg("-print_final_stats=1")
            .stdin(std::process::Stdio::null());
        if self.dictionary.is_file() {
            command.arg(format!("-dict={}", self.dictionary.display()));
        }
        command.arg(&self.corpus).args(&self.seeds);
        Ok(command)
    }
}

/// Runs a target until it has used up its CPU time or fails.
pub(super) fn run(places: &Places, target: &str, time: Duration, step: &Step) -> Result<Run> {
    let mut command = places.command()?;
    let log = File::create(&places.log)
        .with_context(|| format!("cannot create {}", places.log.display()))?;
    if os::cpu_time(std::process::id()).is_none() {
        // Where the system can't be asked, the clock on the wall has to do.
        command.arg(format!("-max_total_time={}", time.as_secs()));
    }
    let mut child = command
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {}", places.program.display()))?;
    let mut used = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        used = os::cpu_time(child.id()).unwrap_or(used);
        let detail = format!("{} of {} CPU seconds", used.as_secs(), time.as_secs());
        step.at(used.as_secs(), time.as_secs(), detail);
        if used >= time {
            // libFuzzer ends at the next input; it may have ended already.
            let _ = os::send(child.id(), Signal::USR1);
        }
        os::pause(POLL);
    };
    let text = fs::read(&places.log)?;
    Ok(read(
        target,
        used,
        status,
        &String::from_utf8_lossy(&text),
        &places.log,
    ))
}

fn read(target: &str, used: Duration, status: ExitStatus, text: &str, log: &Path) -> Run {
    let executions = text
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Run {
        target: target.to_owned(),
        seconds: used.as_secs_f64(),
        executions: executions.map_or(0, leading_number),
        corpus: last_number(text, " corp: "),
        edges: last_number(text, " cov: "),
        finding: (!status.success()).then(|| Finding {
            reason: reason(text, status),
            input: text
                .lines()
                .find_map(|line| line.split_once("Test unit written to "))
                .map(|(_, path)| PathBuf::from(path)),
            log: log.to_owned(),
        }),
    }
}

/// The number behind the last `label` of the log.
fn last_number(text: &str, label: &str) -> u64 {
    text.rsplit_once(label)
        .map_or(0, |(_, rest)| leading_number(rest))
}

fn leading_number(text: &str) -> u64 {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().unwrap_or(0)
}

/// What the target said when it panicked, or what libFuzzer says about it.
fn reason(text: &str, status: ExitStatus) -> String {
    let mut lines = text.lines();
    if lines.any(|line| line.contains("panicked at ")) {
        let message: Vec<&str> = lines
            .take_while(|line| !ENDS.iter().any(|end| line.starts_with(end)))
            .collect();
        return message.join("\n");
    }
    let summary = text
        .lines()
        .find_map(|line| line.strip_prefix("SUMMARY: libFuzzer: "));
    summary.map_or_else(|| format!("ended with {status}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const LOG: &str = "\
INFO: Running with entropic power schedule
#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb
#512\tNEW    cov: 40 ft: 90 corp: 17/3b lim: 4 exec/s: 0 rss: 31Mb L: 1/1 MS: 1 ChangeBit-
";
    const CRASH: &str = "
thread '<unnamed>' (7) panicked at src/path.rs:3:5:
GET \"/a\" is wrong
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==7== ERROR: libFuzzer: deadly signal
SUMMARY: libFuzzer: deadly signal
artifact_prefix='/x/'; Test unit written to /x/crash-7
stat::number_of_executed_units: 513
";

    fn outcome(text: &str, code: i32) -> Run {
        let status = ExitStatus::from_raw(code << 8);
        read("path", Duration::ZERO, status, text, Path::new("log"))
    }

    #[test]
    fn counts_come_from_the_log() {
        let run = outcome(&format!("{LOG}stat::number_of_executed_units: 600\n"), 0);
        assert_eq!((run.executions, run.corpus, run.edges), (600, 17, 40));
        assert!(run.finding.is_none());
    }

    #[test]
    fn a_crash_is_a_finding_with_its_message_and_input() {
        let run = outcome(&format!("{LOG}{CRASH}"), 77);
        let finding = run.finding.unwrap();
        assert_eq!(finding.reason, "GET \"/a\" is wrong");
        assert_eq!(finding.input.unwrap(), Path::new("/x/crash-7"));
        assert_eq!(run.executions, 513);
    }

    #[test]
    fn a_program_that_does_not_start_is_a_finding_too() {
        let finding = outcome("cannot load\n", 1).finding.unwrap();
        assert!(finding.reason.contains("exit status: 1"), "{finding:?}");
    }
}
