//! The verbs of the `mesh` command.

mod addresses;
mod desk;
mod down;
pub mod events;
mod explain;
mod sagas;
mod status;
pub mod up;

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
    bin_name = "mesh",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// A verb with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Starts the engines, the databases, every service and the gateway, and keeps them running
    Up(up::Args),
    /// The supervisor that `up --detach` starts
    #[command(hide = true)]
    Supervise(up::Selection),
    /// Drains and stops the mesh
    Down,
    /// Shows every process, its address and its health; exits with 1 unless all are healthy
    Status(status::Args),
    /// Shows the route, bindings and policies of a request, and why the other routes do not match
    Explain(explain::Args),
    /// Shows the events that could not be applied or published, and decides about them
    Events(events::Args),
    /// Shows the sagas that are stuck, and decides about them
    Sagas(sagas::Args),
}

impl Verb {
    /// Carries the verb out.
    ///
    /// # Errors
    /// Depend on the verb; the message is for people.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Up(args) => up::up(args).await,
            Self::Supervise(selection) => up::supervise(selection).await,
            Self::Down => down::down(),
            Self::Status(args) => status::status(args).await,
            Self::Explain(args) => explain::explain(args).await,
            Self::Events(args) => events::events(args).await,
            Self::Sagas(args) => sagas::sagas(args).await,
        }
    }
}

/// Carries out the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    block_on(cli.verb.run())
}

/// Runs a command to its end with logs on stderr, and prints its error if it fails.
pub fn block_on(command: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime");
    match runtime.and_then(|runtime| runtime.block_on(command)) {
        Ok(code) => code,
        Err(error) => {
            ui::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
