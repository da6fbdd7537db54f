//! Measures facts between two databases; `cargo xtask bench events` runs it.

use std::process::ExitCode;

use anyhow::Result;
use benchmarks::events::{Row, Sizes, events};
use clap::Parser;

/// Facts between two databases, beside what database and broker do at most
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Facts of the large backlog
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    backlog: u32,
    /// Print one JSON object per value
    #[arg(long)]
    json: bool,
    /// Measure fewer facts, which is not precise; a backlog of 100,000
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let plan = match args.quick {
        true => Sizes {
            facts: 20_000,
            backlog: args.backlog.min(100_000),
            single: 100,
            transactions: 4_000,
        },
        false => Sizes {
            facts: 100_000,
            backlog: args.backlog,
            single: 500,
            transactions: 20_000,
        },
    };
    let mut passes = true;
    events(&plan, |row| {
        passes &= row.is_met();
        match args.json {
            true => println!("{}", serde_json::to_string(row)?),
            false => println!("{}", line(row)),
        }
        Ok(())
    })
    .await?;
    Ok(match args.check && !passes {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn line(row: &Row) -> String {
    let value = format!("{:.2} {}", row.value, row.unit);
    let verdict = match (row.target, row.is_met()) {
        (None, _) => String::new(),
        (Some(target), is_met) => {
            let sign = if row.is_limit { "≤" } else { "≥" };
            let word = if is_met { "PASS" } else { "MISS" };
            format!("{sign} {target}  {word}")
        }
    };
    format!("{:<38} {value:>20}  {verdict}", row.name)
        .trim_end()
        .to_owned()
}
