//! Measures the gateway beside others that front gRPC servers; `cargo mesh bench gateway` runs it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use benchmarks::{
    gateways::{self, Figure, Plan},
    report::{self, Line},
};
use clap::Parser;

/// What the gateway costs, beside others that front gRPC servers
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The gateway's binary
    #[arg(long, value_name = "FILE", required_unless_present = "bare")]
    gateway: Option<PathBuf>,
    /// Envoy's binary; without it Envoy is skipped
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Where to build the Go peers; without it, or without Go, they are skipped
    #[arg(long, value_name = "DIR")]
    go: Option<PathBuf>,
    /// Print one JSON object for each figure, one a line
    #[arg(long)]
    json: bool,
    /// Measure for half a minute: a first look, not for quoting
    #[arg(long)]
    quick: bool,
    /// Fail when a target is missed, not only when an answer is wrong
    #[arg(long)]
    check: bool,
    /// Measure one case only
    #[arg(long, value_name = "CASE")]
    only: Option<String>,
    /// Use all protocols for so many seconds instead, and see whether anything piles up
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// Count the instructions of a request instead, under valgrind
    #[arg(long)]
    instructions: bool,
    /// Only be the bare proxy: listen there, call here
    #[arg(long, hide = true, num_args = 2, value_names = ["LISTEN", "UPSTREAM"])]
    bare: Vec<SocketAddr>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let [listen, upstream] = *args.bare {
        gateways::serve_bare(listen, upstream)?;
        return Ok(ExitCode::SUCCESS);
    }
    if cfg!(debug_assertions) {
        eprintln!("warning: not optimized; run with --release for numbers that mean something");
    }
    let gateway = args.gateway.clone().context("no gateway to measure")?;
    if let Some(seconds) = args.soak {
        let figure = gateways::soak(&gateway, Duration::from_secs(seconds))?;
        let mut lines = Vec::new();
        args.show(&figure, &mut lines)?;
        return Ok(args.verdict(&lines));
    }
    if args.instructions {
        let mut lines = Vec::new();
        for figure in gateways::instructions(&gateway)? {
            args.show(&figure, &mut lines)?;
        }
        return Ok(args.verdict(&lines));
    }
    let plan = if args.quick {
        Plan::quick(gateway)
    } else {
        Plan::full(gateway)
    };
    let plan = Plan {
        envoy: args.envoy.clone(),
        go: args.go.clone(),
        only: args.only.clone(),
        ..plan
    };
    let mut lines = Vec::new();
    gateways::run(&plan, |figure| args.show(&figure, &mut lines))?;
    Ok(args.verdict(&lines))
}

// === impl Args ===

impl Args {
    fn show(&self, figure: &Figure, lines: &mut Vec<Line>) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(figure)?);
        }
        lines.extend(figure.lines());
        Ok(())
    }

    fn verdict(&self, lines: &[Line]) -> ExitCode {
        if !self.json {
            print!("{}", report::table(lines));
        }
        if self.check && !report::passes(lines) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}
