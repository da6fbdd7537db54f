//! Readers outside of the mesh, and the access that they get.

use anyhow::{Context, Result};

use crate::commands::desk::running;
use crate::home::Home;
use crate::project::NATS;
use crate::stack::{nats, readers};
use crate::ui;

/// The arguments of `events reader`.
#[derive(Debug, clap::Args)]
pub(super) struct Grant {
    /// The reader, which `up --reader` has named
    reader: String,
    /// Context of the events
    context: String,
    /// Print the access as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn grant(args: &Grant) -> Result<()> {
    let home = Home::find()?;
    let broker = running(&home)?.processes.remove(NATS);
    let broker = broker.context("the mesh that is up has no engines")?;
    let passwords = nats::load(&home.mesh()).unwrap_or_default();
    let reader = readers::grant(broker.address, &passwords, &args.reader, &args.context).await?;
    ui::print(match args.json {
        true => serde_json::to_string_pretty(&reader)?,
        false => format!(
            "url       {}\nstream    {}\nconsumer  {}",
            reader.url, reader.stream, reader.consumer
        ),
    });
    Ok(())
}
