//! Measures an answer from the gateway's cache; `cargo xtask bench cache` runs it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use benchmarks::gateways::{self, CachePlan, CacheRow};
use clap::Parser;

/// Targets for an answer from the cache
const MAX_PER_MISS: f64 = 0.35;
const MAX_PER_HELLO: f64 = 2.0;

/// An answer from the gateway's cache, beside one from its upstream and a server that only writes
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The gateway's program
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// nginx's program; without it nginx is skipped
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// Print one JSON object per case
    #[arg(long)]
    json: bool,
    /// Measure for a shorter time, which is not precise
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target
    #[arg(long)]
    check: bool,
    /// Run the server that only writes: address to listen on
    #[arg(long, hide = true, value_name = "LISTEN")]
    hello: Option<SocketAddr>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(listen) = args.hello {
        gateways::serve_hello(listen)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = CachePlan {
        gateway: args.gateway.context("no gateway to measure")?,
        nginx: args.nginx,
        rounds: if args.quick { 5 } else { 9 },
        turn: Duration::from_millis(if args.quick { 500 } else { 2000 }),
    };
    let mut passes = true;
    for row in gateways::cache(&plan)? {
        passes &= row.case != "hit" || is_met(&row);
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

fn is_met(row: &CacheRow) -> bool {
    row.per_miss <= MAX_PER_MISS && row.per_hello <= MAX_PER_HELLO
}

fn line(row: &CacheRow) -> String {
    let CacheRow {
        case,
        cpu_us_per_request: cpu,
        rps,
        per_hello,
        per_miss,
    } = row;
    format!("{case:6} {cpu:>8.2} us  {rps:>8.0}/s  {per_hello:.2} of hello  {per_miss:.2} of miss")
}
