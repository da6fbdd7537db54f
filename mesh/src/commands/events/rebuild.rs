//! Streams that are rebuilt, which needs the broker's operator and the database of the publisher.
//! The database gets the same row of audit as from an act at the desk.

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgPoolOptions;

use crate::commands::desk::running;
use crate::home::Home;
use crate::project::{Engine, NATS, POSTGRES};
use crate::stack::secrets::Secrets;
use crate::stack::{nats, operator, postgres};
use crate::ui;

/// The arguments of `events rebuild`.
#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    /// Service that publishes the events
    service: String,
    /// Context of the events; its stream is EVT_ and this name
    context: String,
    /// Why that is right, for the audit
    #[arg(long)]
    reason: String,
}

pub(super) async fn rebuild(args: &Rebuild) -> Result<()> {
    let Rebuild {
        service,
        context,
        reason,
    } = args;
    let home = Home::find()?;
    let publishers: Vec<&str> = home.project().users_of(Engine::Nats).collect();
    if !publishers.contains(&service.as_str()) {
        bail!(
            "no service {service} that publishes; expected one of {}",
            publishers.join(", ")
        );
    }
    let snapshot = running(&home)?;
    let secrets = Secrets::load(&home.mesh()).unwrap_or_default();
    let address = |engine: &str| {
        let engine = snapshot.processes.get(engine);
        let engine = engine.context("the mesh that is up has no engines")?;
        anyhow::Ok(engine.address)
    };
    let url = postgres::url(address(POSTGRES)?, &secrets, service)?;
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await;
    let pool = pool.with_context(|| format!("cannot open the database of {service}"))?;
    let publishes: bool = sqlx::query_scalar("SELECT to_regclass('events.stopped') IS NOT NULL")
        .fetch_one(&pool)
        .await?;
    if !publishes {
        bail!("{service} publishes no events");
    }
    let passwords = nats::load(&home.mesh()).unwrap_or_default();
    let settings = events::Settings {
        nats_url: nats::url(address(NATS)?, &passwords, nats::OPERATOR)?,
        ..events::Settings::default()
    };
    let bus = events::connect(&settings, pool.clone()).await?;
    let facts = ::desk::rebuild(&pool, &bus, operator::NAME, context, reason).await?;
    ui::print(format!(
        "the stream was deleted; {facts} events are published again"
    ));
    Ok(())
}
