//! `mesh logs`: what the processes have written, side by side.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::follow::{Follower, Palette};
use super::up::asked_to_stop;
use crate::home::Home;
use crate::snapshot::Snapshot;

/// The arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these processes
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Last lines of each process to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
}

pub(super) async fn logs(args: Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let known = known(&home);
    if let Some(unknown) = args.names.iter().find(|name| !known.contains_key(*name)) {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        bail!("no log of {unknown}; there are {}", names.join(", "));
    }
    let chosen = known.into_iter();
    let chosen = chosen.filter(|(name, _)| args.names.is_empty() || args.names.contains(name));
    let palette = Palette::new(std::io::stdout().is_terminal());
    let mut follower = Follower::new(chosen, palette);
    follower.print_last(args.lines);
    if args.follow {
        tokio::select! {
            () = follower.run() => {}
            asked = asked_to_stop() => asked?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the log files by process: of the mesh that is up, or of the last one.
fn known(home: &Home) -> BTreeMap<String, PathBuf> {
    if let Some(snapshot) = Snapshot::load(&home.mesh()) {
        let processes = snapshot.processes.into_values();
        return processes
            .map(|process| (process.name, process.log))
            .collect();
    }
    let Ok(entries) = std::fs::read_dir(home.mesh().join("logs")) else {
        return BTreeMap::new();
    };
    let logs = entries.flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let named = logs.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        Some((name, path))
    });
    named.collect()
}
