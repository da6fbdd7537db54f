//! A reader that stops in the middle of a long stream: the gateway must not buffer the rest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::figure::{Figure, Stalled};
use super::load;
use super::peer::{Fleet, Peer};
use super::upstream::Upstream;
use crate::corpus::ORDER;
use crate::measure::rounded;

pub(super) const CASE: &str = "stalled_reader";

/// Length of the whole stream in JSON.
const STREAM_BYTES: usize = 1_000_000_000;

/// Bytes before the stop: buffers have grown by then.
const READ_BYTES: usize = STREAM_BYTES / 10;

/// Pause between two samples of the memory.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads, stops for `stall`, and reads to the end.
pub(super) async fn measure(fleet: &Fleet, upstream: &Upstream, stall: Duration) -> Result<Figure> {
    let process = &fleet.ours()?.process;
    let orders = STREAM_BYTES / ORDER.json.len() + 1;
    let ask = Ask::orders(orders, false, "application/x-ndjson");
    let sent = upstream.sent();
    let mut response = load::open(fleet.ours()?.address, &ask).await?;
    let mut read = take(&mut response, READ_BYTES).await?;
    let before = process.resident_bytes()?;
    let begun = Instant::now();
    let (mut most, mut last, mut last_moved) = (before, 0, begun);
    while begun.elapsed() < stall {
        sleep(PAUSE).await;
        most = most.max(process.resident_bytes()?);
        if upstream.sent() != last {
            (last, last_moved) = (upstream.sent(), Instant::now());
        }
    }
    let ahead = (last - sent) as usize * ORDER.json.len();
    let ahead = ahead.saturating_sub(read);
    read += take(&mut response, usize::MAX).await?;
    ensure!(read >= STREAM_BYTES, "the stream ended at byte {read}");
    Ok(Figure::Stalled(Stalled {
        case: CASE,
        peer: Peer::Protomesh,
        stall_s: rounded(stall.as_secs_f64(), 1),
        growth_mb: rounded((most - before) as f64 / 1e6, 2),
        upstream_stalled_after_ms: rounded((last_moved - begun).as_secs_f64() * 1e3, 0),
        in_flight_mb: rounded(ahead as f64 / 1e6, 2),
    }))
}

/// Reads so many bytes, or to the end.
async fn take(response: &mut Response<Incoming>, bytes: usize) -> Result<usize> {
    let mut read = 0;
    while read < bytes {
        let Some(frame) = response.body_mut().frame().await else {
            break;
        };
        read += frame
            .context("the stream broke")?
            .data_ref()
            .map_or(0, |data| data.len());
    }
    Ok(read)
}
