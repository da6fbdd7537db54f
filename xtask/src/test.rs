//! `cargo mesh test`: all CI checks, step by step.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mesh::StackOptions;
use mesh::cargo;
use mesh::engines::Engines;
use mesh::home::Home;
use mesh::ui::{self, Ui};

use crate::checks::{alerts, deny, modules, rules, tour};

mod against;
pub(crate) mod compose;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Run only tests with this text in their name, and no other check; `clients` also runs those
    /// of clients that the whole run leaves out
    filter: Option<String>,
    /// Run only the end-to-end tests that need no more than the gateway at this URL, of a mesh that
    /// someone else has started
    #[arg(long, value_name = "URL")]
    against: Option<String>,
}

/// Filter with which ignored tests run too: clients need the tools of many languages, and minutes.
const CLIENTS: &str = "clients";

/// Pages whose commands are run.
const PAGES: [&str; 4] = [
    "README.md",
    "docs/curl.md",
    "docs/grpcurl.md",
    "docs/buf-curl.md",
];

struct Step {
    name: &'static str,
    run: fn(&Home, Option<&str>) -> Result<()>,
    /// Whether the step runs with a filter.
    filtered: bool,
}

/// Steps, quick ones first.
const STEPS: &[Step] = &[
    Step {
        name: "engines",
        run: engines,
        filtered: true,
    },
    Step {
        name: "modules",
        run: modules,
        filtered: false,
    },
    Step {
        name: "rules",
        run: rules,
        filtered: false,
    },
    Step {
        name: "licences",
        run: licences,
        filtered: false,
    },
    Step {
        name: "alerts",
        run: alerts,
        filtered: false,
    },
    Step {
        name: "format",
        run: format,
        filtered: false,
    },
    Step {
        name: "lints",
        run: lints,
        filtered: false,
    },
    Step {
        name: "books",
        run: books,
        filtered: false,
    },
    Step {
        name: "tests",
        run: tests,
        filtered: true,
    },
    Step {
        name: "pages",
        run: pages,
        filtered: false,
    },
    Step {
        name: "verify",
        run: verify,
        filtered: false,
    },
    Step {
        name: "doors",
        run: doors,
        filtered: false,
    },
];

pub(super) fn test(args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let filter = args.filter.as_deref();
    if let Some(url) = &args.against {
        against::run(&home, url, filter)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["step", "result", "seconds"].map(str::to_owned).to_vec()];
    let (mut passed, mut failed) = (0, 0);
    for step in STEPS
        .iter()
        .filter(|step| filter.is_none() || step.filtered)
    {
        let started = Instant::now();
        let outcome = (step.run)(&home, filter);
        if let Err(error) = &outcome {
            ui::print_error(error);
        }
        let result = if outcome.is_ok() { "passed" } else { "FAILED" };
        let seconds = format!("{:.1}", started.elapsed().as_secs_f64());
        ui::print(format!("{}: {result} in {seconds} s", step.name));
        *if outcome.is_ok() {
            &mut passed
        } else {
            &mut failed
        } += 1;
        rows.push(vec![step.name.to_owned(), result.to_owned(), seconds]);
    }
    ui::print(format!("\n{}", ui::table(&rows)));
    // Tools that read CI logs know this form.
    ui::print(format!("\n{passed} passed, {failed} failed"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn engines(home: &Home, _: Option<&str>) -> Result<()> {
    let options = StackOptions::new(home)?;
    Engines::ensure(home, options.engines(), Ui::detect()).map(drop)
}

fn modules(_: &Home, _: Option<&str>) -> Result<()> {
    passed(modules::modules()?)
}

fn rules(_: &Home, _: Option<&str>) -> Result<()> {
    passed(rules::rules(&rules::Args::default())?)
}

fn licences(_: &Home, _: Option<&str>) -> Result<()> {
    passed(deny::deny(&deny::Args::default())?)
}

fn alerts(_: &Home, _: Option<&str>) -> Result<()> {
    passed(alerts::alerts_if_installed()?)
}

fn passed(code: ExitCode) -> Result<()> {
    ensure!(code == ExitCode::SUCCESS, "a rule is broken");
    Ok(())
}

fn format(home: &Home, _: Option<&str>) -> Result<()> {
    run(cargo::command(home).args(["fmt", "--all", "--check"]))
}

fn lints(home: &Home, _: Option<&str>) -> Result<()> {
    let arguments = [
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    run(cargo::command(home).args(arguments))
}

/// Tests the separate program that computes books, and the example's files.
fn books(home: &Home, _: Option<&str>) -> Result<()> {
    for arguments in [
        ["integration-tests/reconcile.py", "--self-test"],
        ["examples/generate.py", "--check"],
    ] {
        run(Command::new("python3")
            .args(arguments)
            .current_dir(home.root()))?;
    }
    Ok(())
}

/// Runs the commands of the README and of the tours of the API.
fn pages(home: &Home, _: Option<&str>) -> Result<()> {
    for page in PAGES {
        tour::run(home, &home.root().join(page), false)?;
    }
    Ok(())
}

/// Runs `verify orders` with the example.
fn verify(home: &Home, _: Option<&str>) -> Result<()> {
    again(home, &["verify", "orders", "--no-build"])
}

/// Brings the example in by each door.
fn doors(home: &Home, _: Option<&str>) -> Result<()> {
    again(home, &["doors", "--no-build"])
}

/// Runs a command of this program, which the build may have replaced since it began.
fn again(home: &Home, arguments: &[&str]) -> Result<()> {
    let program = cargo::binaries(home)?.dir.join("xtask");
    run(Command::new(program)
        .args(arguments)
        .current_dir(home.root()))
}

fn tests(home: &Home, filter: Option<&str>) -> Result<()> {
    // Tests start the programs of all packages. With `--tests`, Cargo resolves the same features as
    // for the tests, and compiles nothing twice.
    run(cargo::command(home).args(["build", "--quiet", "--bins", "--tests"]))?;
    let mut test = cargo::command(home);
    test.args(["test", "--quiet"]).args(filter);
    if filter == Some(CLIENTS) {
        test.args(["--", "--include-ignored"]);
    }
    run(&mut test)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|argument| argument.to_string_lossy())
            .collect();
        let program = command.get_program().display();
        bail!("{program} {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}
