//! `mesh up`: in the foreground, or with a supervisor in the background.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::control::Control;
use super::{addresses, build, down};
use crate::engines::Engines;
use crate::home::{Home, StateDir, create_dir};
use crate::os::Signal;
use crate::project::GATEWAY;
use crate::snapshot::Snapshot;
use crate::supervise::State;
use crate::ui::{self, Step, Ui};
use crate::{Stack, StackOptions, os};

/// Longest wait for a supervisor: longer than all that it waits for itself.
const DETACHED_PATIENCE: Duration = Duration::from_secs(300);
/// Port of the gateway, or the first of the next free ones.
const PORT: u16 = 8080;
const POLL: Duration = Duration::from_millis(100);

/// The arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Return when everything is up; a supervisor goes on in the background
    #[arg(long)]
    detach: bool,
    /// Delete all data first; a running mesh is stopped
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    selection: Selection,
}

/// The processes to start.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only these processes, and the engines that they need; `postgres,nats` for the engines alone
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Address at which the gateway listens; without it that of mesh.toml, else 127.0.0.1:8080 or
    /// the next free port
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// Send traces to this collector (OTLP over gRPC)
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Start no dashboard, and receive no traces
    #[arg(long)]
    no_dashboard: bool,
    /// Add a user of the broker that may read events; `events reader` gives it access to a context
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    reader: Vec<String>,
}

impl Selection {
    pub(super) fn options(&self, home: &Home) -> Result<StackOptions> {
        let mut options = StackOptions::new(home)?;
        options = match self.listen.or(home.project().gateway().listen) {
            Some(address) => options.listen(address)?,
            None => options.prefer_port(GATEWAY, PORT),
        };
        if !self.only.is_empty() {
            options = options.only(self.only.iter().map(String::as_str))?;
        }
        for reader in &self.reader {
            options = options.reader(reader)?;
        }
        if !self.no_dashboard {
            options = options.dashboard();
        }
        Ok(match &self.otlp {
            Some(endpoint) => options.otlp(endpoint),
            None => options,
        })
    }

    fn arguments(&self) -> Vec<String> {
        let only = self.only.iter().map(|name| ("--only", name.clone()));
        let readers = self.reader.iter().map(|name| ("--reader", name.clone()));
        let otlp = self
            .otlp
            .iter()
            .map(|endpoint| ("--otlp", endpoint.clone()));
        let listen = self
            .listen
            .iter()
            .map(|address| ("--listen", address.to_string()));
        let all = only.chain(readers).chain(otlp).chain(listen);
        let all = all.flat_map(|(flag, value)| [flag.to_owned(), value]);
        let bare = self.no_dashboard.then(|| "--no-dashboard".to_owned());
        all.chain(bare).collect()
    }
}

pub(super) async fn up(args: Args) -> Result<ExitCode> {
    let ui = Ui::detect();
    let home = Home::find()?;
    let options = args.selection.options(&home)?;
    let Some(state_dir) = prepare(&home, &options, args.fresh, ui)? else {
        ui.note("the mesh is already up");
        return show(&home);
    };
    if args.detach {
        drop(state_dir);
        detach(&home, &args.selection, &options, ui)?;
        return show(&home);
    }
    run(&home, state_dir, options, ui).await
}

/// Returns the whole mesh: the one that is up, or one that this starts in the background.
///
/// # Errors
/// When it can't be built or started.
pub fn ensure(home: &Home, fresh: bool, ui: Ui) -> Result<Snapshot> {
    let selection = Selection::default();
    let options = selection.options(home)?;
    if let Some(state_dir) = prepare(home, &options, fresh, ui)? {
        drop(state_dir);
        detach(home, &selection, &options, ui)?;
    }
    // A mesh that another process started may not be ready yet.
    let deadline = Instant::now() + DETACHED_PATIENCE;
    loop {
        match Snapshot::load(&home.mesh()) {
            Some(snapshot) if snapshot.ready => return Ok(snapshot),
            _ if Instant::now() > deadline => {
                bail!("the mesh is still starting; `mesh status` says why")
            }
            _ => os::pause(POLL),
        }
    }
}

/// Builds the programs; with `fresh`, stops the mesh and deletes its data. `None` when a mesh is up
/// and stays.
pub(super) fn prepare(
    home: &Home,
    options: &StackOptions,
    fresh: bool,
    ui: Ui,
) -> Result<Option<StateDir>> {
    let up = StateDir::of_up(home)?.is_none();
    if up && !fresh {
        return Ok(None);
    }
    build::build(home, options, ui)?;
    if fresh {
        down::stop(home, ui)?;
    }
    let Some(state_dir) = StateDir::of_up(home)? else {
        bail!("another process has just started the mesh")
    };
    if fresh {
        state_dir.wipe()?;
    }
    Ok(Some(state_dir))
}

/// Runs the supervisor that `up --detach` starts.
pub(super) async fn supervise(selection: Selection) -> Result<ExitCode> {
    let home = Home::find()?;
    // The terminal may close.
    let _ignored = signal(SignalKind::hangup())?;
    let Some(state_dir) = StateDir::of_up(&home)? else {
        bail!("the mesh is already up")
    };
    run(&home, state_dir, selection.options(&home)?, Ui::Plain).await
}

async fn run(home: &Home, state_dir: StateDir, options: StackOptions, ui: Ui) -> Result<ExitCode> {
    let Some((control, stack)) = launch(home, state_dir, options, ui).await? else {
        return Ok(ExitCode::FAILURE);
    };
    ui.note("running; Ctrl-C stops the mesh");
    control.serve(&stack, asked_to_stop()).await?;
    stop(stack, ui).await
}

/// Starts a mesh and shows its addresses; `None` if it was asked to stop before everything was up.
pub(super) async fn launch(
    home: &Home,
    state_dir: StateDir,
    options: StackOptions,
    ui: Ui,
) -> Result<Option<(Control, Arc<Stack>)>> {
    let control = Control::listen(state_dir.path());
    let stack = tokio::select! {
        stack = Stack::launch(home, state_dir, options, ui) => Arc::new(stack?),
        // The drop kills all started processes.
        asked = asked_to_stop() => {
            asked?;
            ui.note("stopped before everything was up");
            return Ok(None);
        }
    };
    ui::print(summary(home, &stack.snapshot()));
    Ok(Some((control, stack)))
}

/// Returns addresses, and what to try first.
fn summary(home: &Home, snapshot: &Snapshot) -> String {
    format!(
        "\n{}\n\n{}",
        addresses::table(home.project(), snapshot),
        addresses::hints(home.project(), snapshot, &home.mesh())
    )
}

/// Drains and stops a mesh at the end of its command.
pub(super) async fn stop(stack: Arc<Stack>, ui: Ui) -> Result<ExitCode> {
    let step = ui.step("draining and stopping");
    // Nothing else holds it once the requests have ended.
    let stack = Arc::into_inner(stack).context("the mesh is still in use")?;
    tokio::select! {
        stopped = stack.shutdown() => drop(stopped?),
        asked = asked_to_stop() => {
            asked?;
            bail!("stopped without draining");
        }
    }
    step.done();
    Ok(ExitCode::SUCCESS)
}

/// Returns once the process gets SIGINT or SIGTERM.
///
/// # Errors
/// When the signals can't be handled.
pub async fn asked_to_stop() -> Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn detach(home: &Home, selection: &Selection, options: &StackOptions, ui: Ui) -> Result<()> {
    if !options.engines().is_empty() {
        // Not in the supervisor, so that the progress is visible.
        Engines::ensure(home, options.engines(), ui)?;
    }
    let logs = home.mesh().join("logs");
    create_dir(&logs, 0o755)?;
    let log = logs.join("mesh.log");
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let step = ui.step("starting the mesh");
    let mut supervisor = Command::new(std::env::current_exe()?);
    supervisor
        .arg("supervise")
        .args(selection.arguments())
        .process_group(0);
    supervisor
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let mut supervisor = supervisor.spawn().context("cannot start the supervisor")?;
    if let Err(error) = await_ready(home, &mut supervisor, &step) {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("{error}; its output:\n{}", said.trim());
    }
    step.done();
    Ok(())
}

fn await_ready(home: &Home, supervisor: &mut Child, step: &Step) -> Result<()> {
    let deadline = Instant::now() + DETACHED_PATIENCE;
    loop {
        if let Some(status) = supervisor.try_wait()? {
            bail!("the supervisor ended ({status})");
        }
        if let Some(snapshot) = Snapshot::load(&home.mesh())
            .filter(|snapshot| snapshot.supervisor.pid == supervisor.id())
        {
            if snapshot.ready {
                return Ok(());
            }
            let pending = snapshot
                .processes
                .values()
                .filter(|process| process.state != State::Healthy);
            step.detail(
                pending
                    .map(|process| process.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            );
        }
        if Instant::now() > deadline {
            // It kills its processes before it ends.
            os::send(supervisor.id(), Signal::TERM)?;
            bail!(
                "the mesh was not up within {} s",
                DETACHED_PATIENCE.as_secs()
            );
        }
        os::pause(POLL);
    }
}

fn show(home: &Home) -> Result<ExitCode> {
    let snapshot = Snapshot::load(&home.mesh())
        .filter(|snapshot| snapshot.supervisor.is_alive())
        .context("the mesh is still starting")?;
    ui::print(summary(home, &snapshot));
    Ok(ExitCode::SUCCESS)
}
