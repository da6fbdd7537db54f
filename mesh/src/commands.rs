//! The verbs of the `mesh` command.

mod addresses;
mod bench;
mod conformance;
mod demo;
mod down;
mod events;
mod explain;
mod fuzz;
mod sqlx;
mod status;
mod test;
mod up;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::ui;

/// Starts, stops and shows the mesh on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "mesh",
    bin_name = "cargo mesh",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Starts the engines, the databases, every service and the gateway, and keeps them running
    Up(up::Args),
    /// The process behind `up --detach`
    #[command(hide = true)]
    Supervise(up::Chosen),
    /// Drains and stops the mesh
    Down,
    /// Shows every process, its address and its health; exits with 1 unless all are healthy
    Status(status::Args),
    /// Feeds order files through the gateway and prints the books; starts the mesh if it is not up
    Demo(demo::Args),
    /// Tells which route a request takes, what it binds, which policies apply, and why the other routes do not match
    Explain(explain::Args),
    /// Shows what became of facts that could not be applied
    #[command(subcommand)]
    Events(events::Verb),
    /// Breaks a mesh of its own on purpose and checks that nothing was lost or doubled
    #[command(subcommand)]
    Verify(verify::Verb),
    /// Measures, in optimized builds
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Runs official conformance suites against what this checkout builds
    #[command(subcommand)]
    Conformance(conformance::Verb),
    /// Runs the fuzz targets of the transcoder; exits with 1 on a finding
    Fuzz(fuzz::Args),
    /// Rewrites the offline data of the SQL of one crate
    Sqlx(sqlx::Args),
    /// Runs everything that CI runs: format, lints, dependencies, tests
    Test(test::Args),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            ui::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        match verb {
            Verb::Up(args) => up::up(args).await,
            Verb::Supervise(chosen) => up::supervise(chosen).await,
            Verb::Down => down::down(),
            Verb::Status(args) => status::status(args).await,
            Verb::Demo(args) => demo::demo(args).await,
            Verb::Explain(args) => explain::explain(args).await,
            Verb::Events(verb) => events::events(verb).await,
            Verb::Verify(verb) => verify::verify(verb).await,
            Verb::Bench(verb) => bench::bench(verb),
            Verb::Conformance(verb) => conformance::conformance(verb).await,
            Verb::Fuzz(args) => fuzz::fuzz(&args),
            Verb::Sqlx(args) => sqlx::sqlx(args).await,
            Verb::Test(args) => test::test(args),
        }
    })
}
