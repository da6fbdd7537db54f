//! Memory of the gateway per idle event stream.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::BodyExt;

use super::ask::Ask;
use super::figure::{Figure, Idle};
use super::load;
use super::peer::Fleet;
use crate::measure::rounded;

pub(super) const CASE: &str = "idle_sse";

/// Connections that are opened at once, fewer than a listen queue holds.
const STEP: usize = 100;

/// Time for clean-up after the last stream.
const SETTLE: Duration = Duration::from_secs(1);

/// Opens so many streams on separate connections and waits for one message of each.
pub(super) async fn measure(fleet: &Fleet, streams: usize) -> Result<Figure> {
    let ours = fleet.ours()?;
    let ask = Ask::orders(1, true, "text/event-stream");
    let before = ours.process.resident_bytes()?;
    let mut held = Vec::with_capacity(streams);
    while held.len() < streams {
        let step = STEP.min(streams - held.len());
        let opened = (0..step).map(|_| async {
            let mut response = load::open(ours.address, &ask).await?;
            response.body_mut().frame().await.context("no event")??;
            anyhow::Ok(response)
        });
        held.extend(futures::future::try_join_all(opened).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let grown = ours.process.resident_bytes()?.saturating_sub(before);
    Ok(Figure::Idle(Idle {
        case: CASE,
        peer: super::peer::Peer::Protomesh,
        streams,
        kb_per_stream: rounded(grown as f64 / 1e3 / streams as f64, 2),
        rss_mb: rounded((before + grown) as f64 / 1e6, 1),
    }))
}
