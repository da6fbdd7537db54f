//! `cargo xtask compat`: a real server, its own HTTP gateway and ours before it get the same
//! requests; every difference is printed with its class.

mod cases;
mod client;
mod compare;
mod etcd;
mod explain;
mod guarded;
mod native;
mod openfga;
mod processes;
mod server;
mod spicedb;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, StateDir};
use mesh::ui::{self, Ui};
use serde::Serialize;

use cases::Calls;
use client::Sender;
use compare::Difference;
use explain::{Class, Table};
use guarded::GuardedResult;
use native::ScriptResult;
use processes::{Side, Sides};
use server::{Built, Product};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Peer {
    /// OpenFGA: its API by reflection, its SDK
    Openfga(Options),
    /// SpiceDB: its API by reflection, the client of authzed
    Spicedb(Options),
    /// etcd: its API from its proto files, etcdctl
    Etcd(Options),
    /// etcd 3.4 of Debian 12, with grpc-gateway v1
    Etcd34(Options),
}

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Only the requests whose name contains this text, and those that save a variable
    #[arg(long)]
    only: Option<String>,
}

/// Least number of requests of a whole run.
const LEAST_REQUESTS: usize = 100;

#[derive(Debug, Serialize)]
struct Comparison {
    server: String,
    requests: usize,
    by_class: BTreeMap<&'static str, usize>,
    differences: Vec<Classified>,
    client: ScriptResult,
    guarded: Option<GuardedResult>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Classified {
    class: Class,
    /// The row of a table in `docs/` that explains the difference.
    row: Option<String>,
    #[serde(flatten)]
    difference: Difference,
}

/// Compares one server; succeeds if everything that differs is explained.
pub(super) async fn compat(verb: Peer) -> Result<ExitCode> {
    let (product, args) = match verb {
        Peer::Openfga(args) => (openfga::PRODUCT, args),
        Peer::Spicedb(args) => (spicedb::PRODUCT, args),
        Peer::Etcd(args) => (etcd::PRODUCT, args),
        Peer::Etcd34(args) => (etcd::OLD_PRODUCT, args),
    };
    let home = Home::find()?;
    let built = Built::ensure(&product, &home, Ui::detect())?;
    Ui::detect().note("building the gateway");
    cargo::build(&home, &[cargo::GATEWAY_PROGRAM])?;
    let suite = Calls::parse(product.cases)?.only(args.only.as_deref());
    // The drop kills all started processes.
    let report = tokio::select! {
        report = run(&home, &product, &built, &suite) => report?,
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped");
        }
    };
    tell(&report, args.json)?;
    Ok(match report.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn run(home: &Home, product: &Product, built: &Built, suite: &Calls) -> Result<Comparison> {
    let ui = Ui::detect();
    let dir = StateDir::scratch(home)?;
    let step = ui.step(format!("starting {} twice, and the gateway", product.name));
    let processes = Sides::start(home, &dir, product, built).await?;
    step.done();
    let step = ui.step(format!("sending {} requests to each", suite.cases.len()));
    let theirs = suite
        .run(&Sender::new(processes.http(Side::Theirs)))
        .await?;
    let ours = suite.run(&Sender::new(processes.http(Side::Ours))).await?;
    step.done();
    let table = Table::of_checkout(home)?;
    let mut differences = Vec::new();
    for ((case, theirs), ours) in suite.cases.iter().zip(&theirs).zip(&ours) {
        for difference in compare::compare(case, theirs, ours) {
            differences.push(table.explain(product, difference, theirs, ours));
        }
    }
    let step = ui.step("running the server's own client, without and with the gateway");
    let client = native::run(product, built, &processes).await?;
    step.done();
    let guarded = match &product.guarded {
        None => None,
        Some(own) => {
            let step = ui.step("running it by a gateway that protects the server");
            let result = guarded::run(product, built, &processes, own).await?;
            step.done();
            Some(result)
        }
    };
    let mut by_class = BTreeMap::new();
    for found in &differences {
        *by_class.entry(found.class.name()).or_default() += 1;
    }
    let mut report = Comparison {
        server: format!("{} {}", product.name, product.version),
        requests: suite.cases.len(),
        by_class,
        differences,
        client,
        guarded,
        problems: Vec::new(),
    };
    report.problems = problems(&report, suite.whole);
    Ok(report)
}

fn problems(report: &Comparison, whole: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if whole && report.requests < LEAST_REQUESTS {
        problems.push(format!("only {} requests", report.requests));
    }
    if let Some(count) = report.by_class.get(Class::Unexplained.name()) {
        problems.push(format!("{count} differences that no table explains"));
    }
    if !report.client.same {
        problems.push("the server's own client ends differently".to_owned());
    }
    let guarded = report.guarded.iter().flat_map(|own| &own.problems);
    problems.extend(guarded.map(|problem| format!("protected: {problem}")));
    problems
}

fn tell(report: &Comparison, json: bool) -> Result<()> {
    if json {
        ui::print(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for found in &report.differences {
        let Classified {
            class,
            row,
            difference,
        } = found;
        ui::print(format!("{}: {}", class.name(), difference));
        if let Some(row) = row {
            ui::print(format!("    docs    {row}"));
        }
    }
    ui::print(&report.client);
    if let Some(guarded) = &report.guarded {
        ui::print(guarded);
    }
    for (class, count) in &report.by_class {
        ui::print(format!("{count} {class}"));
    }
    ui::print(match report.problems.as_slice() {
        [] => format!("passed: {}, {} requests", report.server, report.requests),
        problems => format!("FAILED: {}", problems.join("; ")),
    });
    Ok(())
}
