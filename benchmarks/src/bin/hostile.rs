//! Measures good calls and memory of the gateway while hostile clients use it; `cargo xtask bench
//! hostile` runs it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use benchmarks::gateways::{self, HostilePlan, HostileRow, REST_MIB};
use clap::Parser;

/// Good calls and memory of the gateway while hostile clients use it
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The gateway's program
    #[arg(long, value_name = "FILE")]
    gateway: PathBuf,
    /// Time of each script, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only scripts whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Print one JSON object per script
    #[arg(long)]
    json: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let plan = HostilePlan {
        gateway: args.gateway,
        time: Duration::from_secs(args.seconds),
        only: args.only,
    };
    let mut passes = true;
    gateways::hostile(&plan, |row| {
        passes &= is_met(&row);
        match args.json {
            true => println!("{}", serde_json::to_string(&row)?),
            false => println!("{}", line(&row)),
        }
        Ok(())
    })?;
    Ok(match passes {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn is_met(row: &HostileRow) -> bool {
    row.right + 1 >= row.calls
        && row.p99_ratio <= 3.0
        && row.max_mib <= 512.0
        && row.after_mib <= row.idle_mib + REST_MIB
}

fn line(row: &HostileRow) -> String {
    format!(
        "{:4} {:36} {:>6} connections  {} of {} right  p99 {:.1} ms, {:.2}x  MiB {:.0} -> {:.0} -> {:.0}",
        if is_met(row) { "ok" } else { "MISS" },
        row.script,
        row.connections,
        row.right,
        row.calls,
        row.p99_ms,
        row.p99_ratio,
        row.idle_mib,
        row.max_mib,
        row.after_mib,
    )
}
