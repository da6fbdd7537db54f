//! The life of a process: configuration, telemetry, start, serve, stop, exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Arg, ArgAction, Command};
use rpc::error;
use serde::de::DeserializeOwned;
use server::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ConfigError, Layers, Sources};
use crate::reload::Follower;
use crate::{Process, crash};

#[cfg(test)]
mod tests;

/// `EX_USAGE` of sysexits.h: the command line or the configuration is wrong, starting again does not help.
const EXIT_USAGE: u8 = 64;

/// How long work on blocking threads may hold up the exit.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A command line flag that sets a configuration key, above every other source. Repeated values make a list.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Name without dashes, for example `upstream`.
    pub name: &'static str,
    /// The key it sets, for example `upstreams`.
    pub key: &'static str,
    /// One line for `--help`.
    pub help: &'static str,
}

struct Arguments {
    file: Option<PathBuf>,
    dump: bool,
    flags: BTreeMap<String, Vec<String>>,
}

/// Runs a process from its command line to its exit code.
///
/// Reads the configuration, starts telemetry, calls `start`, serves what it returns, and on SIGTERM or SIGINT
/// drains and stops. Exit codes: 0 stopped as asked, 1 failed, 64 wrong command line or configuration.
pub fn main<C, F, Fut>(name: &'static str, defaults: &str, start: F) -> ExitCode
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    main_with_flags(name, defaults, &[], start)
}

/// As [`main`], with command line flags that set configuration keys.
pub fn main_with_flags<C, F, Fut>(
    name: &'static str,
    defaults: &str,
    flags: &[Flag],
    start: F,
) -> ExitCode
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let arguments = match parse(name, flags, std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // Nothing is left to do for a closed terminal.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let sources = Sources::from_environment(arguments.file, arguments.flags);
    let outcome = Layers::load(defaults, &sources)
        .map_err(anyhow::Error::from)
        .and_then(|layers| match arguments.dump {
            true => print(&layers.dump()?).map(|()| ExitCode::SUCCESS),
            false => run(name, defaults, sources, layers, start),
        });
    outcome.unwrap_or_else(|error| {
        // There is no log yet, so people and supervisors read it here.
        eprintln!("{name}: {error:#}");
        exit_code(&error)
    })
}

fn parse(
    name: &'static str,
    flags: &[Flag],
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, clap::Error> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("TOML file of configuration keys");
    let dump = Arg::new("dump-config")
        .long("dump-config")
        .action(ArgAction::SetTrue)
        .help("Print the effective configuration and exit");
    let own = flags.iter().map(|flag| {
        Arg::new(flag.key)
            .long(flag.name)
            .action(ArgAction::Append)
            .help(flag.help)
    });
    let matches = Command::new(name)
        .args([file, dump])
        .args(own)
        .try_get_matches_from(arguments)?;
    let values = flags.iter().filter_map(|flag| {
        let values = matches.get_many::<String>(flag.key)?;
        Some((flag.key.to_owned(), values.cloned().collect()))
    });
    Ok(Arguments {
        file: matches.get_one("config").cloned(),
        dump: matches.get_flag("dump-config"),
        flags: values.collect(),
    })
}

fn run<C, F, Fut>(
    name: &'static str,
    defaults: &str,
    sources: Sources,
    layers: Layers,
    start: F,
) -> anyhow::Result<ExitCode>
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let (settings, config) = (layers.settings()?, layers.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("tokio runtime")?;
    let telemetry = {
        let _inside = runtime.enter();
        telemetry::init(name, &settings.telemetry())?
    };
    error::set_domain(name);
    crash::arm(&settings.crash_at);
    let process = Process::new(name, settings);
    let outcome = runtime.block_on(async {
        // Before the start, which may be long: without a handler SIGHUP ends the process.
        let hangup = signal(SignalKind::hangup()).context("SIGHUP handler")?;
        let follower = Follower::new(defaults, sources, layers);
        process.spawn("reload", follower.follow(process.clone(), hangup));
        live(process, config, start).await
    });
    let code = outcome.map_or_else(
        |error| {
            tracing::error!(error = format_args!("{error:#}"), "process failed");
            exit_code(&error)
        },
        |()| ExitCode::SUCCESS,
    );
    telemetry.flush();
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    Ok(code)
}

async fn live<C, F, Fut>(process: Process, config: C, start: F) -> anyhow::Result<()>
where
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT handler")?;
    let watched = process.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
            () = watched.failed() => {}
        }
        watched.drain();
    });
    let served = start_and_serve(&process, start(process.clone(), config)).await;
    let healthy = process.finish().await;
    served?;
    anyhow::ensure!(healthy, "a background task failed");
    tracing::info!("stopped");
    Ok(())
}

async fn start_and_serve(
    process: &Process,
    start: impl Future<Output = anyhow::Result<Server>>,
) -> anyhow::Result<()> {
    let draining = process.draining();
    let server = tokio::select! {
        // A start can wait for a database; a stop must not wait with it.
        () = draining.cancelled() => return Ok(()),
        server = start => server.context("start")?,
    };
    if process.settings().listener.reuse_port {
        // Whoever listens gets its share of the connections at once.
        server.until_ready(&draining).await;
    }
    let address = process.settings().listen;
    let listener = listen(address, process.settings().listener.reuse_port)
        .with_context(|| format!("listen on {address}"))?;
    server.serve(listener, process).await
}

fn listen(address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let usage = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(if usage { EXIT_USAGE } else { 1 })
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output")
}
