//! The commands of this repository: `cargo mesh …` runs the mesh and its checks, `cargo xtask …`
//! everything else.

mod bench;
mod checks;
mod compat;
mod conformance;
mod demo;
mod fuzz;
mod retail;
mod sqlx;
mod test;
mod tools;
mod verify;
mod workspace;

use std::ffi::OsStr;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mesh::commands::{Verb, block_on, up};

use checks::{alerts, deny, modules, rules};

/// Starts, stops, shows, feeds and tests the mesh on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "mesh",
    bin_name = "cargo mesh",
    version,
    arg_required_else_help = true,
    after_help = "demo, verify and test belong to this repository: they run its example mesh and its checks. \
                  `cargo xtask --help` lists the other commands of this repository."
)]
struct Mesh {
    #[command(subcommand)]
    verb: MeshVerb,
}

#[derive(Debug, Subcommand)]
enum MeshVerb {
    #[command(flatten)]
    Product(Verb),
    /// Feeds order files through the gateway and prints the books; starts the mesh if it is not up
    Demo(demo::Args),
    /// Kills processes of a separate mesh on purpose and checks that nothing was lost or doubled
    #[command(subcommand)]
    Verify(verify::Verb),
    /// Runs all CI checks: format, lints, dependencies, module order, tests
    Test(test::Args),
}

/// Checks and measures this repository.
#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    arg_required_else_help = true
)]
struct Xtask {
    #[command(subcommand)]
    verb: XtaskVerb,
}

#[derive(Debug, Subcommand)]
enum XtaskVerb {
    /// Checks the alerts for Prometheus, and that each fires; needs promtool
    Alerts,
    /// Measures, in optimized builds
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Compares the gateway with a real server's own HTTP gateway, by hand; needs Go
    #[command(subcommand)]
    Compat(compat::Peer),
    /// Runs official conformance suites against this checkout
    #[command(subcommand)]
    Conformance(conformance::Verb),
    /// Checks licences, bans and sources of all dependencies
    Deny(deny::Args),
    /// Runs the fuzz targets of the transcoder and the listener; exits with 1 on a finding
    Fuzz(fuzz::Args),
    /// Prints the dependencies of each crate's modules; fails if one points to a higher module
    Modules,
    /// Checks the rules of this repository that the compiler cannot check
    Rules(rules::Args),
    /// Rewrites the offline data of the SQL of one crate
    Sqlx(sqlx::Args),
    /// The supervisor that `cargo mesh up --detach` starts: it runs this same program
    #[command(hide = true)]
    Supervise(up::Selection),
}

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    // The alias `cargo mesh` passes the word `mesh` first.
    if arguments.get(1).map(|word| word.as_os_str()) == Some(OsStr::new("mesh")) {
        arguments.remove(1);
        block_on(mesh(Mesh::parse_from(arguments).verb))
    } else {
        block_on(xtask(Xtask::parse_from(arguments).verb))
    }
}

async fn mesh(verb: MeshVerb) -> Result<ExitCode> {
    match verb {
        MeshVerb::Product(verb) => verb.run().await,
        MeshVerb::Demo(args) => demo::demo(args).await,
        MeshVerb::Verify(verb) => verify::verify(verb).await,
        MeshVerb::Test(args) => test::test(args),
    }
}

async fn xtask(verb: XtaskVerb) -> Result<ExitCode> {
    match verb {
        XtaskVerb::Alerts => alerts::alerts(),
        XtaskVerb::Bench(verb) => bench::bench(verb).await,
        XtaskVerb::Compat(verb) => compat::compat(verb).await,
        XtaskVerb::Conformance(verb) => conformance::conformance(verb).await,
        XtaskVerb::Deny(args) => deny::deny(&args),
        XtaskVerb::Fuzz(args) => fuzz::fuzz(&args),
        XtaskVerb::Modules => modules::modules(),
        XtaskVerb::Rules(args) => rules::rules(&args),
        XtaskVerb::Sqlx(args) => sqlx::sqlx(args).await,
        XtaskVerb::Supervise(selection) => Verb::Supervise(selection).run().await,
    }
}
