//! Measures the transcoder beside its peers; `cargo xtask bench transcoder` runs it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use benchmarks::{
    corpus,
    counting::Counting,
    measure::{self, Effort, Streamed},
    report::{self, Reading},
};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Speed of the transcoder beside crates for the same work
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Print one JSON object per reading and line
    #[arg(long)]
    json: bool,
    /// Measure for a few seconds only, which is not precise
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target, not only on a wrong output
    #[arg(long)]
    check: bool,
    /// Measure the rules only
    #[arg(long, hide = true)]
    rules: bool,
    /// Measure NDJSON only, in a process that does nothing else
    #[arg(long, hide = true)]
    ndjson: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let effort = if args.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    if args.ndjson {
        let streamed = measure::ndjson(&corpus::schema()?, effort.ndjson_bytes)?;
        println!("{}", serde_json::to_string(&streamed)?);
        return Ok(ExitCode::SUCCESS);
    }
    if args.rules {
        println!("{}", serde_json::to_string(&measure::rules(effort)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    if cfg!(debug_assertions) {
        eprintln!("warning: not optimized; run with --release for numbers that mean something");
    }
    let mut lines = Vec::new();
    run(&args, effort, |reading| {
        if args.json {
            println!("{}", serde_json::to_string(&reading)?);
        }
        lines.extend(reading.lines());
        Ok(())
    })?;
    if !args.json {
        print!("{}", report::table(&lines));
    }
    Ok(if args.check && !report::passes(&lines) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Takes all readings and shows each as it comes.
fn run(args: &Args, effort: Effort, mut show: impl FnMut(Reading) -> Result<()>) -> Result<()> {
    let schema = corpus::schema()?;
    for sample in corpus::SAMPLES {
        for speed in measure::speed(sample, &schema, effort)? {
            show(Reading::Speed(speed))?;
        }
    }
    for sample in corpus::SAMPLES {
        show(Reading::Allocated(measure::allocations(sample, &schema)?))?;
    }
    show(Reading::Routed(measure::routing(effort)?))?;
    show(Reading::Validated(measure::rules(effort)?))?;
    show(Reading::Streamed(stream_apart(args)?))?;
    for messages in [1000, 10_000] {
        show(Reading::Loaded(measure::load(messages)?))?;
    }
    Ok(())
}

/// A separate process: memory used before would hide that of the stream.
fn stream_apart(args: &Args) -> Result<Streamed> {
    let program = std::env::current_exe().context("cannot find out where this program is")?;
    let output = Command::new(program)
        .arg("--ndjson")
        .args(args.quick.then_some("--quick"))
        .output()
        .context("cannot start a process to stream in")?;
    if !output.status.success() {
        bail!(
            "streaming failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("cannot read what streaming has measured")
}
