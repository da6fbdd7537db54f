//! The runs: loads above the capacity, a capacity that changes, and clients with short and long
//! calls.

use std::time::Duration;

use anyhow::Result;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use super::clients::{Call, Client, Identity, Profile};
use super::{OverloadRow, Stage};

/// Rate of each quiet client, in calls per second, and their number.
const QUIET_RATE: f64 = 10.0;
const QUIET_CLIENTS: u8 = 3;

/// Load without queues, relative to the capacity.
const LIGHT: f64 = 0.3;
/// Load after the overload.
const AFTER: f64 = 0.5;

const SECOND: Duration = Duration::from_secs(1);
/// Time of the light load, service times of the overload before it is measured, and time of the
/// load after it.
const LIGHT_TIME: Duration = Duration::from_secs(3);
const WARM_UP: u32 = 40;
const AFTER_TIME: Duration = Duration::from_secs(4);
/// Deadline of a call, in service times.
const DEADLINE: u32 = 10;

/// Offers `load` times the capacity, most of it by one client.
pub(super) async fn overload(
    stage: &Stage,
    identity: Identity,
    load: f64,
    time: Duration,
) -> Result<OverloadRow> {
    let profile = |number, rate| Profile {
        number,
        identity,
        rate,
        service: None,
        deadline: stage.service * DEADLINE,
    };
    let run = async {
        let loud = profile(2, stage.capacity * LIGHT);
        let loud = Client::start(stage.address, loud).await?;
        let mut quiet = Vec::new();
        for number in 0..QUIET_CLIENTS {
            quiet.push(Client::start(stage.address, profile(10 + number, QUIET_RATE)).await?);
        }
        let begin = Instant::now();
        let warm_up = stage.service * WARM_UP;
        let [overloaded, measured, relieved] = [
            LIGHT_TIME,
            LIGHT_TIME + warm_up,
            LIGHT_TIME + warm_up + time,
        ]
        .map(|after| begin + after);
        sleep_until(overloaded).await;
        let offered = load * stage.capacity - f64::from(QUIET_CLIENTS) * QUIET_RATE;
        loud.set_rate(offered);
        sleep_until(relieved).await;
        loud.set_rate(stage.capacity * AFTER);
        sleep_until(relieved + AFTER_TIME).await;
        // Until the last call is over.
        sleep_until(relieved + AFTER_TIME + stage.service * DEADLINE).await;

        let (loud_calls, planned) = (loud.calls(), loud.planned());
        let quiet: Vec<Call> = quiet.iter().flat_map(Client::calls).collect();
        let mut all = loud_calls.clone();
        all.extend(&quiet);
        let light = percentile(&between(&all, begin + SECOND, overloaded), 0.99);
        let p99 = percentile(&between(&all, measured, relieved), 0.99);
        let asked = between(&quiet, measured, relieved);
        let answered = asked.iter().filter(|call| call.latency.is_some()).count();
        let later = between(&all, relieved, relieved + AFTER_TIME);
        let slow = |call: &&Call| {
            call.latency
                .is_none_or(|latency| latency.as_secs_f64() > 2.0 * light)
        };
        let last_slow = later.iter().filter(slow).map(|call| call.at).max();
        Ok(OverloadRow {
            case: identity.name(),
            load,
            goodput_ratio: goodput(&all, measured, relieved) / stage.capacity,
            quiet_ok: Some(answered as f64 / asked.len() as f64),
            recovery_s: Some(last_slow.map_or(0.0, |at| (at - relieved).as_secs_f64())),
            p99_ratio: Some(p99 / light),
            sent_ratio: loud_calls.len() as f64 / planned,
            ..OverloadRow::default()
        })
    };
    LocalSet::new().run_until(run).await
}

/// Halves the capacity, then doubles it.
pub(super) async fn capacity(stage: &Stage, slots: usize) -> Result<OverloadRow> {
    const LOAD: f64 = 3.0;
    const TURN: Duration = Duration::from_secs(8);
    let run = async {
        let loud = Client::start(
            stage.address,
            Profile {
                number: 2,
                identity: Identity::Address,
                rate: LOAD * stage.capacity,
                service: None,
                deadline: stage.service * DEADLINE,
            },
        )
        .await?;
        let begin = Instant::now();
        let [halved, doubled, end] = [TURN, TURN * 2, TURN * 3].map(|after| begin + after);
        sleep_until(halved).await;
        stage.upstream.shrink(u32::try_from(slots / 2)?);
        sleep_until(doubled).await;
        stage.upstream.grow(slots / 2);
        sleep_until(end).await;
        let calls = loud.calls();
        let follow = |from, to, capacity| followed(&calls, from, to, capacity).as_secs_f64();
        let down = follow(halved, doubled, stage.capacity / 2.0);
        let up = follow(doubled, end, stage.capacity);
        Ok(OverloadRow {
            case: "capacity",
            load: LOAD,
            goodput_ratio: goodput(&calls, end - SECOND * 3, end) / stage.capacity,
            follow_s: Some(down.max(up)),
            sent_ratio: calls.len() as f64 / loud.planned(),
            ..OverloadRow::default()
        })
    };
    LocalSet::new().run_until(run).await
}

/// Two clients that both ask for more than there is: with calls of 1 ms, and of 50 ms.
pub(super) async fn share(stage: &Stage, time: Duration) -> Result<OverloadRow> {
    let slots = stage.capacity * stage.service.as_secs_f64();
    let profile = |number, service: Duration| Profile {
        number,
        identity: Identity::Address,
        // As much as all slots can do, or what one processor can ask for.
        rate: (slots / service.as_secs_f64()).min(MAX_RATE),
        service: Some(service),
        deadline: SECOND,
    };
    let run = async {
        let short = profile(2, Duration::from_millis(1));
        let asked = short.rate;
        let short = Client::start(stage.address, short).await?;
        let long = profile(3, Duration::from_millis(50));
        let _long = Client::start(stage.address, long).await?;
        sleep_until(Instant::now() + SECOND * 4).await;
        let before = stage.upstream.used();
        sleep_until(Instant::now() + time).await;
        let after = stage.upstream.used();
        let [short_time, long_time] = [0, 1].map(|kind| (after[kind] - before[kind]) as f64);
        let all = slots * time.as_secs_f64() * 1e6;
        Ok(OverloadRow {
            case: "share",
            load: 1.0 + asked / (slots * 1000.0),
            goodput_ratio: (short_time + long_time) / all,
            slot_share: Some(short_time / (short_time + long_time)),
            sent_ratio: short.calls().len() as f64 / short.planned(),
            ..OverloadRow::default()
        })
    };
    LocalSet::new().run_until(run).await
}

/// The highest rate of one client in calls per second, so that the load fits on one processor.
const MAX_RATE: f64 = 4000.0;

fn between(calls: &[Call], from: Instant, to: Instant) -> Vec<Call> {
    let is_within = |call: &&Call| call.at >= from && call.at < to;
    calls.iter().filter(is_within).copied().collect()
}

/// Returns the calls per second that were answered in this time.
fn goodput(calls: &[Call], from: Instant, to: Instant) -> f64 {
    let ends = calls
        .iter()
        .filter_map(|call| Some(call.at + call.latency?));
    let good = ends.filter(|end| *end >= from && *end < to).count();
    good as f64 / (to - from).as_secs_f64()
}

/// Returns a percentile of the latencies in seconds; NaN without any.
fn percentile(calls: &[Call], part: f64) -> f64 {
    let latencies = calls.iter().filter_map(|call| call.latency);
    let mut latencies: Vec<f64> = latencies.map(|latency| latency.as_secs_f64()).collect();
    latencies.sort_by(f64::total_cmp);
    let index = (latencies.len() as f64 * part) as usize;
    latencies.get(index).copied().unwrap_or(f64::NAN)
}

/// Returns the time until the goodput stays within 10 % of a capacity, in windows of half a second.
fn followed(calls: &[Call], from: Instant, to: Instant, capacity: f64) -> Duration {
    const WINDOW: Duration = Duration::from_millis(500);
    let mut followed = Duration::ZERO;
    let mut begin = from;
    while begin + WINDOW <= to {
        if goodput(calls, begin, begin + WINDOW) < 0.9 * capacity {
            followed = begin + WINDOW - from;
        }
        begin += WINDOW;
    }
    followed
}
