//! `cargo xtask compose`: builds the images, runs the stack, tests it, and measures.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mesh::cargo;
use mesh::home::Home;
use mesh::stack::compose;
use mesh::ui;

use super::against;

/// Name of the stack: another one than that of `docker compose up`, which has data of its own.
const STACK: &str = "order-to-cash-test";
/// Longest time until all containers are healthy.
const START: Duration = Duration::from_secs(60);
/// Largest layer of a program, in bytes.
const LAYER: u64 = 40 * 1024 * 1024;

/// The arguments of `compose`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use the images that are there
    #[arg(long)]
    no_build: bool,
    /// Leave the stack as it is in the end
    #[arg(long)]
    keep: bool,
    /// Run only tests with this text in their name
    filter: Option<String>,
}

/// Builds, starts, tests and removes the stack; prints times and sizes.
///
/// # Errors
/// When a step fails, or a bound is exceeded.
pub(crate) fn compose(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    compose::write_secrets(home.project())?;
    if !args.no_build {
        let started = Instant::now();
        run(cargo::command(&home).args(["run", "--quiet", "--bin", "mesh", "--", "image"]))?;
        ui::print(format!(
            "images built in {:.1} s",
            started.elapsed().as_secs_f64()
        ));
    }
    let stack = Stack {
        home: &home,
        keep: args.keep,
    };
    stack.remove()?;
    let started = Instant::now();
    run(stack
        .docker()
        .args(["up", "--detach", "--wait", "--no-build"]))?;
    let took = started.elapsed();
    ui::print(format!(
        "all containers healthy in {:.1} s",
        took.as_secs_f64()
    ));
    sizes(&home)?;
    let gateway = stack.gateway()?;
    against::run(&home, &format!("http://{gateway}"), args.filter.as_deref())?;
    ensure!(
        took <= START,
        "the start took longer than {} s",
        START.as_secs()
    );
    Ok(ExitCode::SUCCESS)
}

/// The stack of the tests; dropping it removes it with its data.
struct Stack<'a> {
    home: &'a Home,
    keep: bool,
}

impl Stack<'_> {
    fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["compose", "--project-name", STACK]);
        // Any free port: others may use the default one.
        docker
            .env("GATEWAY", "127.0.0.1:0")
            .current_dir(self.home.root());
        docker
    }

    fn remove(&self) -> Result<()> {
        run(self.docker().args(["down", "--volumes", "--timeout", "30"]))
    }

    /// Returns the address of the gateway on this machine.
    fn gateway(&self) -> Result<String> {
        let output = self.docker().args(["port", "gateway", "8080"]).output();
        let output = output.context("cannot run docker")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success() && !text.is_empty(),
            "the gateway has no port"
        );
        Ok(text)
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = self.remove()
        {
            ui::print_error(&error);
        }
    }
}

/// Prints the size of each image, and checks that of its largest layer.
fn sizes(home: &Home) -> Result<()> {
    let mut rows = vec![
        ["image", "MB", "largest layer, MB"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut largest = 0;
    for image in compose::images(home.project()) {
        let name = format!("{}:latest", image.name);
        let size = number(&["image", "inspect", "--format", "{{.Size}}", &name])?;
        let layer = number(&["history", "--human=false", "--format", "{{.Size}}", &name])?;
        largest = largest.max(layer);
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        rows.push(vec![name, megabytes(size), megabytes(layer)]);
    }
    ui::print(ui::table(&rows));
    ensure!(largest <= LAYER, "a layer is larger than {LAYER} bytes");
    Ok(())
}

/// Returns the largest number that a command of Docker prints, one per line.
fn number(arguments: &[&str]) -> Result<u64> {
    let output = Command::new("docker").args(arguments).output();
    let output = output.context("cannot run docker")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = text.lines().filter_map(|line| line.trim().parse().ok());
    numbers
        .max()
        .with_context(|| format!("docker {} printed no number", arguments.join(" ")))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status();
    let status =
        status.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        status.success(),
        "{} failed ({status})",
        command.get_program().display()
    );
    Ok(())
}
