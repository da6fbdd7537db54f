//! The official suite of Connect, gRPC and gRPC-Web: its clients, the gateway, and its reference
//! server as upstream.

mod compat;
mod under_test;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, StateDir};
use mesh::ui::Ui;
use protox::Compiler;
use tokio::process::{Child, Command};

use super::report::{Failure, Report};
use crate::tools::golang::{BuiltModule, Module};
use compat::{ServerCompatRequest, ServerCompatResponse};
pub(super) use under_test::Args as UnderTest;

const SUITE: &str = "connectconformance";
const UPSTREAM: &str = "referenceserver";
const SERVICE: &str = "connectrpc/conformance/v1/service.proto";
const FEATURES: &str = include_str!("connect/features.yaml");

const MODULE: Module = Module {
    name: SUITE,
    path: "connectrpc.com/conformance",
    commands: "cmd/",
    programs: &[SUITE, UPSTREAM],
    files: &[
        (
            "proto/connectrpc/conformance/v1/config.proto",
            "proto/connectrpc/conformance/v1/config.proto",
        ),
        (
            "proto/connectrpc/conformance/v1/service.proto",
            "proto/connectrpc/conformance/v1/service.proto",
        ),
    ],
};

/// Least number of cases: fewer mean a missing feature.
const LEAST_CASES: usize = 3_500;

/// Largest message that a server under test accepts in the suite, in bytes.
const RECEIVE_LIMIT: u32 = 200 * 1024;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Args {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Only the cases whose name matches, as `Basic/**`; may be repeated
    #[arg(long)]
    run: Vec<String>,
    /// Print requests and responses of failed cases
    #[arg(long)]
    trace: bool,
}

/// Runs the suite; returns whether everything passed.
pub(super) async fn connect(ui: Ui, args: Args) -> Result<bool> {
    let home = Home::find()?;
    let built = MODULE.ensure(&home, ui)?;
    ui.note("building the gateway");
    cargo::build(&home, &[cargo::GATEWAY_PROGRAM])?;
    let dir = StateDir::scratch(&home)?;
    let descriptors = dir.path().join("conformance.binpb");
    std::fs::write(&descriptors, descriptor_set(&built.dir.join("proto"))?)
        .with_context(|| format!("cannot write {}", descriptors.display()))?;
    // The drop kills all started processes.
    let output = tokio::select! {
        output = run(&built, &args, &dir, &descriptors, ui) => output?,
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped");
        }
    };
    let report = parse(built.version, &output, args.run.is_empty());
    report.tell(SUITE, args.json)?;
    Ok(report.problems.is_empty())
}

/// Serves one of the suite's server configurations.
pub(super) async fn under_test(args: &UnderTest) -> Result<()> {
    under_test::serve(args).await
}

fn descriptor_set(protos: &Path) -> Result<Vec<u8>> {
    let mut compiler = Compiler::new([protos])?;
    compiler.include_imports(true).open_file(SERVICE)?;
    Ok(compiler.encode_file_descriptor_set())
}

async fn run(
    built: &BuiltModule,
    args: &Args,
    dir: &StateDir,
    descriptors: &Path,
    ui: Ui,
) -> Result<String> {
    let (upstream, _process) = upstream(&built.dir.join(UPSTREAM)).await?;
    let features = dir.path().join("features.yaml");
    std::fs::write(&features, FEATURES)
        .with_context(|| format!("cannot write {}", features.display()))?;
    let step = ui.step("running the suite");
    let mut suite = Command::new(built.dir.join(SUITE));
    suite.args(["--mode", "server", "--conf"]).arg(features);
    suite.args(args.run.iter().flat_map(|pattern| ["--run", pattern]));
    if args.trace {
        suite.arg("--trace");
    }
    suite.arg("--").arg(program()?);
    suite.args(["conformance", "connect-under-test"]);
    suite
        .args(["--upstream", &upstream, "--descriptors"])
        .arg(descriptors);
    suite.stdin(Stdio::null()).kill_on_drop(true);
    let output = suite.output().await.context("cannot start the suite")?;
    step.done();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    let failed = !output.status.success() && !said.contains("Total cases:");
    if failed {
        bail!(
            "the suite ended ({}):\n{}",
            output.status,
            complained.trim()
        );
    }
    Ok(said)
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program")
}

/// Starts the conformance service as plain gRPC.
async fn upstream(program: &Path) -> Result<(String, Child)> {
    let mut process = Command::new(program)
        .args(["-port", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {UPSTREAM}"))?;
    let asked = ServerCompatRequest {
        protocol: compat::GRPC,
        http_version: compat::HTTP_2,
        message_receive_limit: RECEIVE_LIMIT,
        ..ServerCompatRequest::default()
    };
    let mut stdin = process.stdin.take().context("no input")?;
    compat::write(&asked, &mut stdin).await?;
    let mut stdout = process.stdout.take().context("no output")?;
    let at: ServerCompatResponse = compat::read(&mut stdout)
        .await
        .with_context(|| format!("{UPSTREAM} does not print its address"))?;
    Ok((format!("http://{}:{}", at.host, at.port), process))
}

/// Parses the output of the suite: `FAILED: case:` with indented reasons, then the sums.
fn parse(version: String, output: &str, is_whole: bool) -> Report {
    let mut failures: Vec<Failure> = Vec::new();
    let (mut run, mut passed, mut failed): (usize, usize, usize) = (0, 0, 0);
    let mut in_failure = false;
    for line in output.lines() {
        if let Some(case) = line.strip_prefix("FAILED: ") {
            in_failure = true;
            failures.push(Failure {
                case: case.trim_end_matches(':').to_owned(),
                sent: None,
                reason: String::new(),
            });
        } else if let Some(total) = line.strip_prefix("Total cases: ") {
            in_failure = false;
            run = total.trim().parse().unwrap_or(0);
        } else if let Some((left, right)) = line.split_once(" passed, ") {
            passed = left.trim().parse().unwrap_or(0);
            let right = right.trim_end_matches(" failed");
            failed = right.trim().parse().unwrap_or(usize::MAX);
        } else if let (true, Some(failure)) = (in_failure, failures.last_mut()) {
            failure.reason.push_str(line);
            failure.reason.push('\n');
        }
    }
    let mut problems = Vec::new();
    if passed < run || failed > 0 || !failures.is_empty() {
        problems.push(format!("{} cases did not pass", run.saturating_sub(passed)));
    }
    let least = if is_whole { LEAST_CASES } else { 1 };
    if run < least {
        problems.push(format!("{run} cases ran instead of at least {least}"));
    }
    Report {
        version,
        run,
        passed,
        failures,
        problems,
    }
}
