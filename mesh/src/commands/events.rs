//! `mesh events`: what the services have set aside, the decisions about it, and the streams that
//! are rebuilt.

mod acts;
mod consumers;
mod desk;
mod parked;
mod rebuild;
mod stopped;

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::ui;

pub use desk::Desk;
use desk::Place;
pub use parked::{Entry, list as parked, table};

/// The arguments of `events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs of `events`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the consumers of all services, and how far they are behind
    Consumers(Listing),
    /// Lists the keys that are parked because one of their events could not be applied
    Parked(Listing),
    /// Shows the events of one parked key
    Show(parked::Show),
    /// Applies the events of a parked key in order; exits with 1 when one fails again
    Replay(parked::Replay),
    /// Drops the event that stopped a parked key, and replays those after it
    Discard(parked::Leave),
    /// Goes past the versions that are missing before a parked key, and replays it from there
    Skip(parked::Leave),
    /// Lists the keys whose events are not published: their stream disagrees, or refuses one
    Stopped(Listing),
    /// Decides about a stopped key
    Resume(stopped::Resume),
    /// Lists what operators have decided
    Acts(Listing),
    /// Deletes a stream and publishes it again from the archive of its service
    Rebuild(rebuild::Rebuild),
}

/// The arguments of lists.
#[derive(Debug, clap::Args)]
pub struct Listing {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn events(args: Args) -> Result<ExitCode> {
    let Args { place, verb } = args;
    let desk = || place.desk();
    match verb {
        Verb::Consumers(args) => {
            args.print(&consumers::list(&desk().await?).await?, consumers::table)?
        }
        Verb::Parked(args) => args.print(&parked(&desk().await?).await?, table)?,
        Verb::Show(args) => parked::show(&desk().await?, &args).await?,
        Verb::Replay(args) => return parked::replay(&desk().await?, &args).await,
        Verb::Discard(args) => return parked::leave(&desk().await?, "discard", &args).await,
        Verb::Skip(args) => return parked::leave(&desk().await?, "skip", &args).await,
        Verb::Stopped(args) => args.print(&stopped::list(&desk().await?).await?, stopped::table)?,
        Verb::Resume(args) => stopped::resume(&desk().await?, &args).await?,
        Verb::Acts(args) => args.print(&acts::list(&desk().await?).await?, acts::table)?,
        Verb::Rebuild(args) => rebuild::rebuild(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

// === impl Listing ===

impl Listing {
    fn print<T: Serialize>(&self, entries: &[T], table: fn(&[T]) -> String) -> Result<()> {
        ui::print(match self.json {
            true => serde_json::to_string_pretty(entries)?,
            false => table(entries),
        });
        Ok(())
    }
}

/// Returns an entry for each item that the desks of the services list.
fn entries<L, T, E>(
    all: Vec<(String, L)>,
    items: impl Fn(L) -> Vec<T>,
    entry: impl Fn(String, T) -> E,
) -> Vec<E> {
    let of_service = |(service, list): (String, L)| {
        let items = items(list).into_iter();
        items
            .map(|item| entry(service.clone(), item))
            .collect::<Vec<_>>()
    };
    all.into_iter().flat_map(of_service).collect()
}

/// Lays entries out as a table with one line each; `none` if there are none.
fn lay_out<T, const N: usize>(
    none: &str,
    header: [&str; N],
    entries: &[T],
    cells: impl Fn(&T) -> [String; N],
) -> String {
    if entries.is_empty() {
        return none.to_owned();
    }
    let one_line = |cell: String| cell.replace(['\n', '\r'], " ");
    let lines = entries
        .iter()
        .map(|entry| cells(entry).map(one_line).to_vec());
    let header = header.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    ui::table(&rows)
}
