//! The REST compliance suite of gapic-showcase: its requests as JSON over HTTP to the gateway
//! before its server.

mod cases;
mod client;
mod enums;
mod processes;
mod refusals;
mod request;
mod server;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::Home;
use mesh::ui::Ui;

use super::report::{Failure, Report};
use cases::{Case, Suite};
use client::Client;
use processes::Processes;
use server::Server;

/// Number of pairs of RPC and request in this version of the suite.
const PAIRS: usize = 53;

/// Runs the suite; returns whether everything passed.
pub(super) async fn showcase(ui: Ui, json: bool) -> Result<bool> {
    let home = Home::find()?;
    let server = Server::ensure(&home, ui)?;
    ui.note("building the gateway");
    cargo::build(&home, &[cargo::GATEWAY_PROGRAM])?;
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
    // The drop kills all started processes.
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
    report.tell("gapic-showcase", json)?;
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
                sent: Some(case.request.to_string()),
                reason,
            });
        }
    }
    Ok(failures)
}
