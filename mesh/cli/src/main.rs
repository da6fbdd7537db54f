//! The `mesh` command.

mod add;
mod crates;
mod edit;
mod name;
mod new;
mod templates;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesh::commands::{Verb, block_on};

/// Begins a project, adds services to it, and runs, shows and stops its mesh.
#[derive(Debug, Parser)]
#[command(
    name = "mesh",
    bin_name = "mesh",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: CliVerb,
}

#[derive(Debug, Subcommand)]
enum CliVerb {
    /// Makes the directory of a new project, with a first service
    New(new::Args),
    /// Adds a service to the project: contract, code, tests
    Add(add::Args),
    #[command(flatten)]
    Project(Verb),
}

fn main() -> ExitCode {
    // The library knows the verbs of a project, and the commands that the project declares.
    let first = std::env::args().nth(1).unwrap_or_default();
    let is_own = first.is_empty() || first.starts_with('-');
    if !is_own && !["new", "add", "help"].contains(&first.as_str()) {
        let refreshed = add::root().map_or(Ok(()), |root| crates::refresh(&root));
        return match refreshed {
            Ok(()) => mesh::commands::main(),
            Err(error) => block_on(async { Err(error) }),
        };
    }
    block_on(async {
        match Cli::parse().verb {
            CliVerb::New(args) => new::new(&args),
            CliVerb::Add(args) => add::add(&args),
            CliVerb::Project(verb) => verb.run().await,
        }
    })
}
