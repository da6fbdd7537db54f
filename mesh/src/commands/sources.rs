//! `mesh sources`: the sources of data, their records in quarantine, and files sent by hand.

mod list;
mod quarantine;
mod send;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::desk::Listing;
use super::explain;
use crate::client::Client;

/// The arguments of `sources`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    caller: Caller,
    #[command(subcommand)]
    verb: Verb,
}

/// The gateway that leads to the sources, and the credential there.
#[derive(Debug, clap::Args)]
struct Caller {
    /// Address of a gateway, as host:port; without it, the mesh's own
    #[arg(long, value_name = "ADDR")]
    gateway: Option<String>,
    /// Environment of mesh.toml whose gateway is called
    #[arg(long = "env", value_name = "NAME", conflicts_with = "gateway")]
    environment: Option<String>,
    /// File with nothing but an access token of the role `admin`, where the gateway asks for one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The verbs of `sources`.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the sources, their states and their records
    List(Listing),
    /// Shows one source, its latest units, and its records in quarantine
    Show(list::ShowSource),
    /// Stops reading a source after the batch in progress
    Pause(list::Name),
    /// Reads a source again that was paused, or that stopped by itself
    Resume(list::Name),
    /// Maps and delivers records in quarantine again: one of them, or all of a source
    Retry(quarantine::Retry),
    /// Gives up records in quarantine, for ever: one of them, or all of a source
    Discard(quarantine::Discard),
    /// Sends a file to a source; a broken upload is resumed
    Send(send::Send),
    /// Shows what a source would make of a file, and sends nothing
    Try(trial::Try),
}

pub(super) async fn sources(args: Args) -> Result<ExitCode> {
    let client = args.caller.client().await?;
    match args.verb {
        Verb::List(args) => list::list(&client, &args).await?,
        Verb::Show(args) => list::show(&client, &args).await?,
        Verb::Pause(args) => list::set(&client, &args, "pause").await?,
        Verb::Resume(args) => list::set(&client, &args, "resume").await?,
        Verb::Retry(args) => return quarantine::retry(&client, &args).await,
        Verb::Discard(args) => quarantine::discard(&client, &args).await?,
        Verb::Send(args) => send::send(&client, &args).await?,
        Verb::Try(args) => return trial::attempt(&client, &args).await,
    }
    Ok(ExitCode::SUCCESS)
}

// === impl Caller ===

impl Caller {
    async fn client(&self) -> Result<Client> {
        let gateway = explain::gateway(self.gateway.as_deref(), self.environment.as_deref());
        let client = Client::new(gateway.await?);
        let Some(file) = &self.token_file else {
            return Ok(client);
        };
        let token = std::fs::read_to_string(file);
        let token = token.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(client.with_token(token.trim()))
    }
}
