//! The `mesh` command.

mod add;
mod completions;
mod crates;
mod edit;
mod name;
mod new;
mod templates;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mesh::commands::Verb;

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
    /// Prints a script that completes the commands of `mesh` in a shell
    Completions(completions::Args),
}

fn main() -> ExitCode {
    // Before anything that may run Cargo, also a command of the project.
    if let Ok(root) = add::root()
        && let Err(error) = crates::refresh(&root)
    {
        mesh::ui::print_error(&error);
        return ExitCode::FAILURE;
    }
    mesh::commands::main(async |cli: Cli| match cli.verb {
        CliVerb::New(args) => new::new(&args),
        CliVerb::Add(args) => add::add(&args),
        CliVerb::Completions(args) => completions::completions(&args),
        CliVerb::Project(verb) => verb.run().await,
    })
}
