//! `cargo xtask bench orders`: order files through a whole mesh of its own, at full speed.

mod copies;
mod cost;
mod raw;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use mesh::commands::up::asked_to_stop;
use mesh::home::{Home, StateDir};
use mesh::project::GATEWAY;
use mesh::ui::{self, Ui};
use mesh::{Stack, StackOptions, cargo};
use serde::Serialize;
use tokio::sync::watch;

use crate::retail::file::OrderFile;
use crate::retail::progress::Progress;
use crate::retail::{self, OPENING_STOCK, Settings};
use cost::{Cost, Meter};

/// Default file.
const EXAMPLE: &str = "examples/orders.csv";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Order files (CSV); examples/orders.csv if none is named
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Repeat the files under new invoice numbers until they have so many orders and returns
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    orders: usize,
    /// Run the existing programs without a build
    #[arg(long)]
    no_build: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The reading of a run.
#[derive(Debug, Serialize)]
struct Reading {
    /// Orders that came to their end.
    orders: i64,
    /// Orders and returns settled per second, from the first byte to the last.
    orders_per_s: f64,
    /// Rows read per second while orders run.
    rows_per_s: f64,
    seconds: f64,
    #[serde(flatten)]
    cost: Cost,
    /// Orders per second that the engines alone write, by one script.
    raw_orders_per_s: f64,
    /// The part of that which the mesh reaches.
    vs_raw: f64,
}

pub(crate) async fn orders(mut args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    if args.files.is_empty() {
        args.files.push(home.root().join(EXAMPLE));
    }
    let dir = tempfile::tempdir()?;
    let copies = copies::write(&args.files, args.orders, &dir.path().join("orders.csv"))?;
    let files = OrderFile::read_all(&[copies])?;
    let ui = Ui::detect();
    // The build that `cargo mesh demo` makes.
    let options = StackOptions::new(&home)?;
    if !args.no_build {
        cargo::build(&home, &options.programs())?;
    }
    let work = async {
        let stack = Stack::launch(&home, StateDir::scratch(&home)?, options, ui).await?;
        let reading = measure(&stack, &files, ui).await?;
        stack.shutdown().await?;
        Ok(reading)
    };
    // The drop kills all started processes.
    let reading: Result<Reading> = tokio::select! {
        reading = work => reading,
        asked = asked_to_stop() => asked.and_then(|()| bail!("stopped")),
    };
    let reading = reading?;
    if args.json {
        ui::print(serde_json::to_string(&reading)?);
    } else {
        ui::print(&reading);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(stack: &Stack, files: &[OrderFile], ui: Ui) -> Result<Reading> {
    let (progress, _) = watch::channel(Progress::none());
    let settings = Settings {
        // Enough for every copy.
        opening_stock: OPENING_STOCK * 100,
        ..Settings::default()
    };
    let meter = Meter::start(stack).await?;
    let started = Instant::now();
    let outcome = retail::run(stack.address(GATEWAY)?, files, &settings, ui, &progress).await?;
    let seconds = started.elapsed().as_secs_f64();
    let problems = outcome.books.problems();
    if !problems.is_empty() {
        bail!("the books do not balance: {}", problems.join("; "));
    }
    let orders = outcome.books.orders_ended();
    let orders_per_s = outcome.speed.orders_per_s();
    let cost = meter.stop(stack, orders).await?;
    // Last: it stops the services and writes their rows again.
    let raw_orders_per_s = raw::measure(stack, orders).await?;
    Ok(Reading {
        orders,
        orders_per_s,
        rows_per_s: outcome.speed.rows_per_s(),
        seconds,
        cost,
        raw_orders_per_s,
        vs_raw: orders_per_s / raw_orders_per_s,
    })
}

impl std::fmt::Display for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "{} orders in {:.1} s: {:.1} orders/s, {:.0} rows/s",
            self.orders, self.seconds, self.orders_per_s, self.rows_per_s
        )?;
        writeln!(out, "{}", self.cost)?;
        write!(
            out,
            "{:.2} of the {:.0} orders/s that the engines alone write",
            self.vs_raw, self.raw_orders_per_s
        )
    }
}
