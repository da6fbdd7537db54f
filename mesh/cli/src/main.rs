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
use mesh::project::Project;

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
    // Cargo needs the crates; what does not build is not held up by them.
    mesh::commands::main(crates::refresh, async |cli: Cli| match cli.verb {
        CliVerb::New(args) => new::new(&args),
        CliVerb::Add(args) => add::add(&args),
        CliVerb::Completions(args) => completions::completions(&args),
        CliVerb::Project(verb) => {
            if verb.builds() {
                crates::refresh(Project::here()?.root())?;
            }
            if verb.prepares_images() {
                let project = Project::here()?;
                if project.gateway().package.is_none() {
                    crates::pack(project.root())?;
                }
            }
            verb.run().await
        }
    })
}
