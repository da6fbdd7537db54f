//! `mesh test`: the tests of all services of a project.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo;
use crate::home::Home;
use crate::ui::{self, Ui};

/// The arguments of `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the tests of these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

pub(super) fn test(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let mut failed = Vec::new();
    for (title, mut command) in commands(&home, &args.services)? {
        let started = Instant::now();
        let status = command.status();
        let status = status.with_context(|| format!("{title}: cannot run its command"))?;
        let seconds = started.elapsed().as_secs_f64();
        let verdict = if status.success() { "passed" } else { "failed" };
        Ui::detect().note(format!("{title}: {verdict} ({seconds:.1} s)"));
        if !status.success() {
            failed.push(title);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    ui::print_error(&anyhow::anyhow!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Returns the commands of tests with their titles: of the Cargo packages together, and of each
/// service that declares some.
fn commands(home: &Home, only: &[String]) -> Result<Vec<(String, Command)>> {
    let project = home.project();
    for name in only {
        let known: Vec<&str> = project
            .services()
            .iter()
            .map(|known| &*known.name)
            .collect();
        project
            .service(name)
            .with_context(|| format!("no service {name}; expected one of {}", known.join(", ")))?;
    }
    let chosen = || {
        let services = project.services().iter();
        services.filter(|service| only.is_empty() || only.contains(&service.name))
    };
    let mut commands = Vec::new();
    let packages: Vec<&str> = chosen().filter_map(|service| service.package()).collect();
    if !packages.is_empty() {
        let mut tests = cargo::command(home);
        tests.arg("test");
        tests.args(packages.iter().flat_map(|package| ["--package", package]));
        commands.push((format!("cargo test ({})", packages.join(", ")), tests));
    }
    for service in chosen() {
        for test in &service.test {
            let title = format!("{}: {test}", service.name);
            commands.push((title, test.command(home.root())));
        }
    }
    Ok(commands)
}
