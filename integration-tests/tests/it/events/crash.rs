//! Relay and consumer abort at each point between an effect and its record.

use std::env;

use anyhow::{Result, bail};
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, auditor, bus_of};

/// The child process of the tests below, which aborts: no test by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the crash tests"]
async fn child() -> Result<()> {
    if let Ok(point) = env::var("EVENTS_TEST_CRASH") {
        chassis::crash::arm(&point);
    }
    let for_ever = CancellationToken::new();
    match env::var("EVENTS_TEST_ROLE")?.as_str() {
        "relay" => {
            let bus = bus_of("EVENTS_TEST_PRODUCER").await?;
            bus.run_relay(for_ever).await?;
        }
        "consumer" => {
            let bus = bus_of("EVENTS_TEST_AUDITOR").await?;
            bus.run_consumer(auditor(), for_ever).await?;
        }
        role => bail!("no role {role}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_neither_loses_nor_stores_twice() -> Result<()> {
    let desk = Desk::start().await?;
    for point in ["events.relay.before_publish", "events.relay.after_publish"] {
        let done = i64::try_from(desk.applied("a").await?.len())?;
        desk.count("a", done + 1..=done + 3).await?;
        desk.count("b", done + 1..=done + 3).await?;
        desk.crash("relay", point).await?;
        assert_eq!(desk.outbox().await?, 6, "{point}");
        // Events without a relay join those that the aborted one left.
        desk.count("a", done + 4..=done + 5).await?;
        let (relay, audit) = (desk.relay().await?, desk.audit(auditor()).await?);
        desk.expect_applied("a", 1..=done + 5).await?;
        desk.expect_outbox(0).await?;
        relay.stop().await?;
        audit.stop().await?;
    }
    let versions: Vec<i64> = desk
        .stored("a")
        .await?
        .into_iter()
        .map(|(version, _)| version)
        .collect();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_dies_applies_once() -> Result<()> {
    let desk = Desk::start().await?;
    let _relay = desk.relay().await?;
    let points = [
        "events.consumer.before_commit",
        "events.consumer.after_commit",
    ];
    for (first, point) in (1..).step_by(3).zip(points) {
        desk.count("a", first..first + 3).await?;
        desk.crash("consumer", point).await?;
    }
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 1..=6).await
}
