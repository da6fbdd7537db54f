//! Measures gateways whose upstream gets more calls than it can answer; `cargo xtask bench
//! overload` runs it.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use benchmarks::gateways::{self, OverloadPlan, OverloadRow};
use clap::Parser;

/// The part of the planned calls below which a run is void
const MIN_SENT: f64 = 0.98;

/// Targets for the gateway, as parts of one unless a unit is named
const MIN_GOODPUT: f64 = 0.95;
const MIN_QUIET_OK: f64 = 0.995;
const MAX_RECOVERY_S: f64 = 1.0;
const MAX_P99_RATIO: f64 = 3.0;
const MAX_FOLLOW_S: f64 = 5.0;
const SLOT_SHARE: RangeInclusive<f64> = 0.4..=0.6;

/// Gateways whose upstream gets more calls than it can answer
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The gateway's program
    #[arg(long, value_name = "FILE")]
    gateway: PathBuf,
    /// Envoy's program; without it Envoy is skipped
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Slots of the upstream
    #[arg(long, default_value = "32")]
    slots: NonZeroUsize,
    /// Time that a call holds a slot, in milliseconds
    #[arg(long, default_value_t = 100)]
    service_ms: u64,
    /// Print one JSON object per run
    #[arg(long)]
    json: bool,
    /// Measure for a shorter time, which is not precise
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target or a void run of the gateway
    #[arg(long)]
    check: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let plan = OverloadPlan {
        gateway: args.gateway,
        envoy: args.envoy,
        slots: args.slots.get(),
        service: Duration::from_millis(args.service_ms),
        time: Duration::from_secs(if args.quick { 4 } else { 10 }),
    };
    let mut passes = true;
    gateways::overload(&plan, |row| {
        passes &= !is_ours(&row) || is_met(&row);
        match args.json {
            true => println!("{}", serde_json::to_string(&row)?),
            false => println!("{}", line(&row)),
        }
        Ok(())
    })?;
    Ok(match args.check && !passes {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn is_ours(row: &OverloadRow) -> bool {
    row.peer == "protomesh"
}

fn is_met(row: &OverloadRow) -> bool {
    let below = |value: Option<f64>, most: f64| value.is_none_or(|value| value <= most);
    row.sent_ratio >= MIN_SENT
        && row.goodput_ratio >= MIN_GOODPUT
        && row.quiet_ok.is_none_or(|quiet| quiet >= MIN_QUIET_OK)
        && below(row.recovery_s, MAX_RECOVERY_S)
        && below(row.p99_ratio, MAX_P99_RATIO)
        && below(row.follow_s, MAX_FOLLOW_S)
        && row
            .slot_share
            .is_none_or(|share| SLOT_SHARE.contains(&share))
}

fn line(row: &OverloadRow) -> String {
    let mut line = format!(
        "{:10} {:9} {:>5.1}x  goodput {:.3}",
        row.peer, row.case, row.load, row.goodput_ratio
    );
    for (name, value) in [
        ("quiet ok", row.quiet_ok),
        ("p99 ratio", row.p99_ratio),
        ("recovery s", row.recovery_s),
        ("follow s", row.follow_s),
        ("slot share", row.slot_share),
    ] {
        if let Some(value) = value {
            line.push_str(&format!("  {name} {value:.3}"));
        }
    }
    if row.sent_ratio < MIN_SENT {
        line.push_str(&format!("  VOID: sent {:.3} of the calls", row.sent_ratio));
    }
    line
}
