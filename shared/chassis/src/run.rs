//! The life of a process: configuration, telemetry, start, serve, stop, exit code.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use auth::internal;
use rpc::error;
use serde::de::DeserializeOwned;
use server::Server;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ConfigError, Layers, Sources};
use crate::crash;
use crate::process::{Process, Task};
use crate::reload::ConfigWatcher;

mod arguments;
mod health;
mod keys;
mod listen;
#[cfg(test)]
mod tests;

use arguments::Verb;
use listen::ListenSource;

/// `EX_USAGE` of sysexits.h: a wrong command line or configuration, which a restart does not fix.
const EXIT_USAGE: u8 = 64;

/// Limit of the wait for blocking threads at the exit.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A command line flag that sets a configuration key, above every other source. Repeated values,
/// and those of several flags with one key, make a list.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Name without dashes, for example `upstream`.
    pub name: &'static str,
    /// The key it sets, for example `upstreams`.
    pub key: &'static str,
    /// One line for `--help`.
    pub help: &'static str,
}

/// A program whose process this is.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Name of the process, for example `orders`.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// The documented default of every own key, in TOML.
    pub defaults: &'a str,
    /// Flags beside those of every process.
    pub flags: &'a [Flag],
}

/// Runs a process from its command line to its exit code.
///
/// Reads the configuration, starts telemetry, calls `start`, serves the server that it returns, and
/// on SIGTERM or SIGINT drains and stops. With the verb `migrate` the process ends once its
/// database has the schema that was asked for; with `health` it asks the running process of the
/// same configuration for `GET /readyz`. Exit codes: 0 stopped as asked, migrated or healthy, 1
/// failed, 64 wrong command line or configuration.
pub fn main<C, F, Fut>(name: &'static str, defaults: &str, start: F) -> ExitCode
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let program = Program {
        name,
        about: "",
        defaults,
        flags: &[],
    };
    main_of(&program, start)
}

/// Runs a process as [`main`] does, with what else its command line has.
pub fn main_of<C, F, Fut>(program: &Program<'_>, start: F) -> ExitCode
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let (name, defaults) = (program.name, program.defaults);
    let arguments = match arguments::parse(program, std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(usage) => {
            // A closed terminal can't be told.
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let sources = Sources::from_environment(arguments.file, arguments.flags);
    let outcome = Layers::load(defaults, &sources)
        .map_err(anyhow::Error::from)
        .and_then(|layers| match (arguments.dump, arguments.verb) {
            (true, _) => print(&layers.dump()?).map(|()| ExitCode::SUCCESS),
            (false, Verb::Health) => health::check(&layers.settings()?),
            (false, Verb::Run(task)) => run(program, task, sources, layers, start),
        });
    outcome.unwrap_or_else(|error| {
        // Logging has not started yet.
        eprintln!("{name}: {error:#}");
        exit_code(&error)
    })
}

fn run<C, F, Fut>(
    program: &Program<'_>,
    task: Task,
    sources: Sources,
    layers: Layers,
    start: F,
) -> anyhow::Result<ExitCode>
where
    C: DeserializeOwned,
    F: FnOnce(Process, C) -> Fut,
    Fut: Future<Output = anyhow::Result<Server>>,
{
    let (name, defaults) = (program.name, program.defaults);
    let (settings, config) = (layers.settings()?, layers.parse()?);
    let source = ListenSource::of(&layers);
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
    let signer = settings.identity.signer(name)?.map(Arc::new);
    if let Some(signer) = &signer {
        internal::sign_with(signer.clone());
    }
    let process = Process::with_task(name, settings, task);
    let outcome = runtime.block_on(async {
        // Before the start, which may take long: without a handler SIGHUP ends the process.
        let hangup = signal(SignalKind::hangup()).context("SIGHUP handler")?;
        let watcher = ConfigWatcher::new(defaults, sources, layers);
        process.spawn("reload", watcher.watch(process.clone(), hangup));
        if let Some(signer) = signer {
            process.spawn("keys", keys::rotate(process.clone(), signer));
        }
        run_to_end(process, config, source, start).await
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

async fn run_to_end<C, F, Fut>(
    process: Process,
    config: C,
    source: ListenSource,
    start: F,
) -> anyhow::Result<()>
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
    let served = start_and_serve(&process, &source, start(process.clone(), config)).await;
    let healthy = process.finish().await;
    served?;
    anyhow::ensure!(healthy, "a background task failed");
    tracing::info!("stopped");
    Ok(())
}

async fn start_and_serve(
    process: &Process,
    source: &ListenSource,
    start: impl Future<Output = anyhow::Result<Server>>,
) -> anyhow::Result<()> {
    let draining = process.draining();
    let server = tokio::select! {
        // A start may wait for a database; a stop must not wait for it.
        () = draining.cancelled() => return Ok(()),
        server = start => server.context("start")?,
    };
    anyhow::ensure!(
        *process.task() == Task::Serve,
        "nothing to migrate: {} opens no database",
        process.name()
    );
    if process.settings().listener.reuse_port {
        // A shared port sends connections to every listener at once, ready or not.
        server.until_ready(&draining).await;
    }
    let settings = process.settings();
    let listener = source.open(settings.listen, settings.listener.reuse_port)?;
    process.listens(listener.local_addr().context("listener")?);
    server.serve(listener, process).await
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
