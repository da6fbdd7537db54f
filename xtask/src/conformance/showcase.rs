//! The REST compliance suite of gapic-showcase: its server behind our gateway, its requests sent as JSON over HTTP.

mod cases;
mod client;
mod enums;
mod processes;
mod refusals;
mod request;
mod server;

use std::fmt;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::Home;
use mesh::services::GATEWAY;
use mesh::ui::{self, Ui};
use serde::Serialize;

use cases::{Case, Suite};
use client::Client;
use processes::Processes;
use server::Server;

/// As many pairs of RPC and request has this version of the suite.
const PAIRS: usize = 53;

#[derive(Debug, Serialize)]
struct Report {
    version: String,
    run: usize,
    passed: usize,
    failures: Vec<Failure>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Failure {
    case: String,
    sent: String,
    reason: String,
}

/// Runs the suite; whether everything passed.
pub(super) async fn showcase(ui: Ui, json: bool) -> Result<bool> {
    let home = Home::of_checkout()?;
    let server = Server::ensure(&home, ui)?;
    ui.note("building the gateway");
    cargo::build(&home, &[GATEWAY])?;
    let suite = Suite::parse(&server.suite)?;
    if suite.pairs() != PAIRS {
        bail!(
            "the suite has {} pairs of RPC and request instead of {PAIRS}",
            suite.pairs()
        );
    }
    let mut cases = cases::positive(&suite)?;
    cases.extend(refusals::negative(&suite)?);
    let work = async {
        let step = ui.step("starting gapic-showcase and the gateway");
        let processes = Processes::start(&home, &server).await?;
        step.done();
        let step = ui.step(format!("sending {} requests", cases.len()));
        let client = Client::new(processes.gateway());
        let mut failures = run(&client, &cases).await?;
        failures.extend(enums::run(&client).await?);
        step.done();
        anyhow::Ok(failures)
    };
    // A drop of what has been started kills it.
    let failures = tokio::select! {
        failures = work => failures?,
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped");
        }
    };
    let run = cases.len() + enums::CASES;
    let report = Report {
        version: server.version,
        run,
        passed: run - failures.len(),
        problems: match failures.len() {
            0 => Vec::new(),
            failed => vec![format!("{failed} cases failed")],
        },
        failures,
    };
    tell(&report, json)?;
    Ok(report.problems.is_empty())
}

async fn run(client: &Client, cases: &[Case]) -> Result<Vec<Failure>> {
    let mut failures = Vec::new();
    for case in cases {
        let answer = client.send(&case.request).await;
        let answer = answer.with_context(|| format!("{}: {}", case.name, case.request))?;
        if let Err(reason) = case.expected.check(&answer) {
            failures.push(Failure {
                case: case.name.clone(),
                sent: case.request.to_string(),
                reason,
            });
        }
    }
    Ok(failures)
}

fn tell(report: &Report, json: bool) -> Result<()> {
    if json {
        ui::print(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for failure in &report.failures {
        ui::print(failure);
    }
    let failed = report.failures.len();
    ui::print(format!(
        "{} run, {} passed, {failed} failed",
        report.run, report.passed
    ));
    ui::print(match report.problems.as_slice() {
        [] => format!("passed: gapic-showcase {}", report.version),
        problems => format!("FAILED: {}", problems.join("; ")),
    });
    Ok(())
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.case)?;
        writeln!(formatter, "    sent  {}", self.sent)?;
        writeln!(formatter, "    {}", self.reason)
    }
}

/// Why a process is not there any more.
fn ended(name: &str, status: ExitStatus) -> anyhow::Error {
    anyhow::anyhow!("{name} ended ({status})")
}
