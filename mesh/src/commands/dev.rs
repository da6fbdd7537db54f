//! `mesh dev`: the mesh in the foreground; what changes is built again and restarted alone.

mod affected;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Result, bail};

use super::build;
use super::follow::{Follower, Palette};
use super::up::{self, Selection, asked_to_stop};
use crate::home::Home;
use crate::project::{FILE, GATEWAY};
use crate::stack::StackOptions;
use crate::ui::{self, Ui};
use crate::{Stack, StateDir};

use affected::Packages;
use watch::Watch;

/// How often the gateway asks the services for their APIs, in milliseconds.
const REFLECT_MS: &str = "500";

/// The arguments of `dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete all data first
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    selection: Selection,
}

pub(super) async fn dev(args: Args) -> Result<ExitCode> {
    let (home, ui) = (Home::find()?, Ui::detect());
    let options = args.selection.options(&home)?;
    // A new API goes live even if it breaks callers; the gateway's log lists what it breaks.
    let options = options
        .env(GATEWAY, "PROTOMESH_SCHEMA__BREAKING_CHANGES", "allow")
        .env(GATEWAY, "PROTOMESH_REFLECT_INTERVAL_MS", REFLECT_MS);
    let Some(state_dir) = up::prepare(&home, &options, args.fresh, ui)? else {
        bail!("the mesh is already up: stop it with `mesh down`, or use `mesh restart NAME`");
    };
    session(&home, state_dir, &options, ui).await
}

async fn session(
    home: &Home,
    state_dir: StateDir,
    options: &StackOptions,
    ui: Ui,
) -> Result<ExitCode> {
    // Before the launch, so that no change in the meantime is missed.
    let mut watch = Watch::begin(home.root())?;
    let packages = Packages::load(home)?;
    let launched = up::launch(home, state_dir, options.clone(), ui).await?;
    let Some((control, stack)) = launched else {
        return Ok(ExitCode::FAILURE);
    };
    ui.note("watching; Ctrl-C stops the mesh");
    let logs = stack.processes().into_values();
    let logs = logs.map(|process| (process.name, process.log));
    let palette = Palette::new(std::io::stdout().is_terminal());
    let mut follower = Follower::new(logs, palette);
    follower.skip();
    let mut session = Session {
        home,
        options,
        ui,
        packages,
        built: BTreeMap::new(),
        pending: BTreeSet::new(),
        stack: Arc::clone(&stack),
    };
    session.built = session.programs();
    let watching = async {
        loop {
            let changed = watch.next().await?;
            session.apply(&changed).await;
        }
    };
    let stop = async {
        tokio::select! {
            ended = watching => ended,
            () = follower.run() => Ok(()),
            asked = asked_to_stop() => asked,
        }
    };
    let ended: Result<()> = control.serve(&stack, stop).await;
    drop(session);
    let stopped = up::stop(stack, ui).await;
    ended.and(stopped)
}

struct Session<'a> {
    home: &'a Home,
    options: &'a StackOptions,
    ui: Ui,
    packages: Packages,
    /// When the program of each process was built.
    built: BTreeMap<String, SystemTime>,
    /// Processes that run older code, because a build or a start has failed.
    pending: BTreeSet<String>,
    stack: Arc<Stack>,
}

// === impl Session ===

impl Session<'_> {
    /// Builds and restarts the processes that are made of these files; a failure is shown, and the
    /// old ones go on.
    async fn apply(&mut self, changed: &BTreeSet<PathBuf>) {
        if changed
            .iter()
            .any(|path| *path == self.home.root().join(FILE))
        {
            self.ui.note(format!(
                "{FILE} has changed: start `mesh dev` again to apply it"
            ));
        }
        let running = self.stack.processes();
        let affected = self.packages.affected(self.home, changed).into_iter();
        self.pending
            .extend(affected.filter(|name| running.contains_key(name)));
        if self.pending.is_empty() {
            return;
        }
        let started = Instant::now();
        match self.rebuild().await {
            Ok(restarted) if restarted.is_empty() => {}
            Ok(restarted) => self.ui.note(format!(
                "restarted {} ({:.1} s)",
                restarted.join(", "),
                started.elapsed().as_secs_f64()
            )),
            Err(error) => ui::print_error(&error),
        }
    }

    /// Builds what is pending and restarts it; what does not start stays pending.
    async fn rebuild(&mut self) -> Result<Vec<String>> {
        let names: Vec<String> = self.pending.iter().cloned().collect();
        self.ui.note(format!("building {}", names.join(", ")));
        let options = self
            .options
            .clone()
            .only(names.iter().map(String::as_str))?;
        let (home, ui) = (self.home.clone(), self.ui);
        let built = tokio::task::spawn_blocking(move || build::build(&home, &options, ui));
        built.await??;
        let now = self.programs();
        let mut restarted = Vec::new();
        for name in names {
            let program = now.get(&name);
            // A program that the compiler has not changed goes on.
            if program.is_none() || self.built.get(&name) != program {
                if let Err(error) = self.stack.restart(&name).await {
                    ui::print_error(&error);
                    continue;
                }
                restarted.push(name.clone());
            }
            self.built.extend(program.map(|time| (name.clone(), *time)));
            self.pending.remove(&name);
        }
        Ok(restarted)
    }

    /// Returns when the programs were built that Cargo makes.
    fn programs(&self) -> BTreeMap<String, SystemTime> {
        let programs = self.options.built_programs();
        let built = programs.filter_map(|(name, program)| {
            let time = program.metadata().and_then(|metadata| metadata.modified());
            Some((name.to_owned(), time.ok()?))
        });
        built.collect()
    }
}
