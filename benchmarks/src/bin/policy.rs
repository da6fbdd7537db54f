//! Measures the cost of policy in the gateway; `cargo xtask bench policy` runs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use benchmarks::gateways::{self, PolicyPlan, PolicyRow};
use clap::Parser;

/// Targets: the gateway's own cost of policy, and Envoy's as a multiple of it
const MAX_PER_OPEN: f64 = 1.25;
const MIN_OF_ENVOY: f64 = 3.5;

/// An order with a token, a role, a condition, a rate limit and rules, beside one without
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The gateway's program
    #[arg(long, value_name = "FILE")]
    gateway: PathBuf,
    /// Envoy's program; without it Envoy is skipped
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Print one JSON object per case
    #[arg(long)]
    json: bool,
    /// Measure for a shorter time, which is not precise
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target
    #[arg(long)]
    check: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let plan = PolicyPlan {
        gateway: args.gateway,
        envoy: args.envoy,
        rounds: if args.quick { 5 } else { 9 },
        turn: Duration::from_millis(if args.quick { 500 } else { 2000 }),
    };
    let mut passes = true;
    for row in gateways::policy(&plan)? {
        passes &= is_met(&row);
        match args.json {
            true => println!("{}", serde_json::to_string(&row)?),
            false => println!("{}", line(&row)),
        }
    }
    Ok(match args.check && !passes {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn is_met(row: &PolicyRow) -> bool {
    match row.case.starts_with("envoy") {
        true => row.per_guarded >= MIN_OF_ENVOY,
        false => row.per_open <= MAX_PER_OPEN,
    }
}

fn line(row: &PolicyRow) -> String {
    let PolicyRow {
        case,
        cpu_us_per_request: cpu,
        rps,
        per_open,
        per_guarded,
    } = row;
    format!(
        "{case:24} {cpu:>8.2} us  {rps:>8.0}/s  {per_open:.2} of open  {per_guarded:.2} of ours"
    )
}
