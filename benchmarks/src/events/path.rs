//! The path of facts when it is idle, behind, unfair, or beside an old snapshot.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::lab::{Counted, Lab, facts};
use super::{Row, Sizes};

/// Keys of the facts.
const KEYS: u32 = 1000;
/// The smaller backlog.
const SMALL: u32 = 10_000;
/// One in so many facts is of another key than the hot one.
const OTHERS: u32 = 10;
/// Pause between single facts: the path is idle again.
const IDLE: Duration = Duration::from_millis(20);

/// Measures commit → handler of single facts, from the relay's process and from another one.
pub(super) async fn latencies(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let bench = lab.bench(2 * plan.single).await?;
    let (owner, other) = (bench.bus().await?, bench.bus().await?);
    let (relay, consumer) = (bench.relay(&owner), bench.consume().await?);
    let facts = facts(2 * plan.single, |number| format!("k{}", number % KEYS));
    // The first ones create the stream and open connections.
    let mut committed = Vec::new();
    for (place, fact) in (0_u32..).zip(&facts) {
        let bus = match place < plan.single {
            true => &owner,
            false => &other,
        };
        let mut tx = bench.producer.begin().await?;
        events::publish(&mut tx, fact).await?;
        tx.commit().await?;
        committed.push(Instant::now());
        bus.wake().await;
        bench.seen.until(place + 1).await?;
        tokio::time::sleep(IDLE).await;
    }
    let seen = bench.seen.times();
    let delays = committed.iter().zip(seen).skip(5);
    let delays = delays.map(|(from, to)| to.map(|to| to.duration_since(*from)));
    let delays: Option<Vec<Duration>> = delays.collect();
    let delays = delays.context("a fact was not seen")?;
    let (owner, other) = delays.split_at(plan.single as usize - 5);
    for (names, delays) in [
        (["idle, p50", "idle, p99"], owner),
        (
            ["idle, another process, p50", "idle, another process, p99"],
            other,
        ),
    ] {
        let [p50, p99] = names;
        report(&Row::at_most(p50, percentile(delays, 0.5), "ms", 10.0))?;
        report(&Row::at_most(p99, percentile(delays, 0.99), "ms", 30.0))?;
    }
    relay.stop().await?;
    consumer.stop().await
}

fn percentile(delays: &[Duration], part: f64) -> f64 {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() as f64 * part) as usize;
    let delay = sorted.get(place.min(sorted.len().saturating_sub(1)));
    delay.map_or(f64::NAN, |delay| delay.as_secs_f64() * 1000.0)
}

/// Measures how fast the relay drains a small and a large backlog.
pub(super) async fn backlogs(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let small = drain(lab, SMALL).await?;
    let large = drain(lab, plan.backlog).await?;
    report(&Row::info("drain of a backlog of 10,000", small, "facts/s"))?;
    report(&Row::info("drain of the large backlog", large, "facts/s"))?;
    report(&Row::at_least(
        "large backlog by the small one",
        large / small,
        "ratio",
        0.8,
    ))
}

async fn drain(lab: &Lab, count: u32) -> Result<f64> {
    let bench = lab.bench(0).await?;
    let bus = bench.bus().await?;
    let facts = facts(count, |number| format!("k{}", number % KEYS));
    bench.publish(&bus, &facts).await?;
    let started = Instant::now();
    let relay = bench.relay(&bus);
    loop {
        let is_left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM events.outbox)")
            .fetch_one(&bench.producer)
            .await?;
        if !is_left {
            break;
        }
        tokio::time::sleep(IDLE).await;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    relay.stop().await?;
    Ok(rate)
}

/// Measures how much later other facts arrive if nine of ten are of one key.
pub(super) async fn hot_key(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let even = |number: u32| format!("k{}", number % KEYS);
    let hot = |number: u32| match number % OTHERS {
        0 => even(number),
        _ => "hot".to_owned(),
    };
    let without = others(lab, &facts(plan.facts, even)).await?;
    let with = others(lab, &facts(plan.facts, hot)).await?;
    let slower = (with / without - 1.0) * 100.0;
    report(&Row::info(
        "mean delay without a hot key",
        without * 1000.0,
        "ms",
    ))?;
    report(&Row::at_most("slower beside a hot key", slower, "%", 20.0))
}

/// Returns the mean time in seconds after which one in ten facts arrives; all are committed before.
async fn others(lab: &Lab, facts: &[Counted]) -> Result<f64> {
    let count = u32::try_from(facts.len())?;
    let bench = lab.bench(count).await?;
    let bus = bench.bus().await?;
    bench.publish(&bus, facts).await?;
    let started = Instant::now();
    let (relay, consumer) = (bench.relay(&bus), bench.consume().await?);
    bench.seen.until(count).await?;
    let times = bench.seen.times().into_iter().step_by(OTHERS as usize);
    let delays: Vec<f64> = times
        .flatten()
        .map(|time| time.duration_since(started).as_secs_f64())
        .collect();
    relay.stop().await?;
    consumer.stop().await?;
    Ok(delays.iter().sum::<f64>() / delays.len() as f64)
}

/// Measures how much slower the path is while a transaction keeps an old snapshot in both
/// databases.
pub(super) async fn old_snapshot(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let without = rate_beside_snapshot(lab, plan.facts, false).await?;
    let with = rate_beside_snapshot(lab, plan.facts, true).await?;
    let slower = (without / with - 1.0) * 100.0;
    report(&Row::at_most(
        "slower beside an old snapshot",
        slower,
        "%",
        20.0,
    ))
}

async fn rate_beside_snapshot(lab: &Lab, count: u32, is_held: bool) -> Result<f64> {
    let bench = lab.bench(count).await?;
    let bus = bench.bus().await?;
    let mut held = Vec::new();
    for pool in [&bench.producer, &bench.consumer] {
        let mut tx = pool.begin().await?;
        if is_held {
            sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
                .execute(&mut *tx)
                .await?;
        }
        held.push(tx);
    }
    let (relay, consumer) = (bench.relay(&bus), bench.consume().await?);
    let facts = facts(count, |number| format!("k{}", number % KEYS));
    let started = Instant::now();
    bench.publish(&bus, &facts).await?;
    bench.seen.until(count).await?;
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    drop(held);
    relay.stop().await?;
    consumer.stop().await?;
    Ok(rate)
}
