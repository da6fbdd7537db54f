//! `mesh bench`: measures, in optimized builds.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;
use crate::home::Home;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Measures the transcoder beside prost-reflect, pbjson and buffa
    Transcoder(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object for each reading, one a line
    #[arg(long)]
    json: bool,
    /// Measure for a few seconds: a first look, not for quoting
    #[arg(long)]
    quick: bool,
    /// Fail when a target is missed, not only when an output is wrong
    #[arg(long)]
    check: bool,
}

pub(super) fn bench(verb: Verb) -> Result<ExitCode> {
    let Verb::Transcoder(args) = verb;
    let home = Home::of_checkout()?;
    // Whatever profile this program was built in. Cargo says on stderr what it builds; stdout is the program's.
    let status = cargo::command(&home)
        .args(["run", "--release", "--package", "benchmarks"])
        .args(["--bin", "transcoder", "--"])
        .args(args.flags())
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

// === impl Args ===

impl Args {
    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            (self.json, "--json"),
            (self.quick, "--quick"),
            (self.check, "--check"),
        ];
        flags
            .into_iter()
            .filter_map(|(is_set, flag)| is_set.then_some(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_handed_on() {
        let args = Args {
            json: true,
            quick: false,
            check: true,
        };
        assert_eq!(args.flags().collect::<Vec<_>>(), ["--json", "--check"]);
    }
}
