//! `mesh events`: what the services have set aside, the decisions about it, and the streams that
//! are rebuilt.

mod acts;
mod consumers;
mod parked;
mod reader;
mod rebuild;
mod stopped;

use std::process::ExitCode;

use anyhow::Result;

use super::desk::{Listing, Place};

pub use super::desk::Desk;
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
    /// Lets a reader outside of the mesh read the events of a context; prints its access
    Reader(reader::Grant),
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
        Verb::Reader(args) => reader::grant(&args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
