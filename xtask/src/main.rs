//! The commands of this repository beside those of `mesh`: its demo, its checks, its measurements.

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

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mesh::commands::{Verb, block_on, up};

use checks::{alerts, deny, modules, package, rules, tour};

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
    /// Builds the images, runs them as a stack of Docker Compose, and tests it; needs Docker
    Compose(test::compose::Args),
    /// Compares the gateway with a real server's own HTTP gateway, by hand; needs Go
    #[command(subcommand)]
    Compat(compat::Peer),
    /// Feeds order files through the gateway and prints the books; starts the mesh if it is not up
    Demo(demo::Args),
    /// Brings the same orders by every way in, twice each, and compares the books; needs Python
    Doors(verify::doors::Args),
    /// Runs official conformance suites against this checkout
    #[command(subcommand)]
    Conformance(conformance::Verb),
    /// Checks licences, bans and sources of all dependencies
    Deny(deny::Args),
    /// Runs the fuzz targets of the transcoder and the listener; exits with 1 on a finding
    Fuzz(fuzz::Args),
    /// Prints the dependencies of each crate's modules; fails if one points to a higher module
    Modules,
    /// Writes the crates that the command carries, for its package
    Package,
    /// Checks the rules of this repository that the compiler cannot check
    Rules(rules::Args),
    /// Rewrites the offline data of the SQL of one crate
    Sqlx(sqlx::Args),
    /// Runs the commands of a page, such as README.md, and prints how long each block takes
    Tour(tour::Args),
    /// Runs all CI checks: format, lints, dependencies, module order, tests
    Test(test::Args),
    /// Disturbs a separate mesh on purpose and checks that nothing was lost or doubled
    #[command(subcommand)]
    Verify(verify::Verb),
    /// The supervisor that `cargo mesh up --detach` starts: it runs this same program
    #[command(hide = true)]
    Supervise(up::Selection),
}

fn main() -> ExitCode {
    block_on(xtask(Xtask::parse().verb))
}

async fn xtask(verb: XtaskVerb) -> Result<ExitCode> {
    match verb {
        XtaskVerb::Alerts => alerts::alerts(),
        XtaskVerb::Bench(verb) => bench::bench(verb).await,
        XtaskVerb::Compose(args) => test::compose::compose(&args),
        XtaskVerb::Compat(verb) => compat::compat(verb).await,
        XtaskVerb::Doors(args) => verify::doors::doors(args).await,
        XtaskVerb::Conformance(verb) => conformance::conformance(verb).await,
        XtaskVerb::Demo(args) => demo::demo(args).await,
        XtaskVerb::Deny(args) => deny::deny(&args),
        XtaskVerb::Fuzz(args) => fuzz::fuzz(&args),
        XtaskVerb::Modules => modules::modules(),
        XtaskVerb::Package => package::package(),
        XtaskVerb::Rules(args) => rules::rules(&args),
        XtaskVerb::Sqlx(args) => sqlx::sqlx(args).await,
        XtaskVerb::Test(args) => test::test(args),
        XtaskVerb::Tour(args) => tour::tour(&args),
        XtaskVerb::Verify(verb) => verify::verify(verb).await,
        XtaskVerb::Supervise(selection) => Verb::Supervise(selection).run().await,
    }
}
