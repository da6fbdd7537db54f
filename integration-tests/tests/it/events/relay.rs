//! Relay and stream disagree: which one prevails, and which messages are kept.

use std::time::Duration;

use anyhow::Result;
use events::stopped::{self, Resolution};
use tokio::time::Instant;

use super::desk::{CONTEXT, Counted, Desk, auditor, counted, subject, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_tail_is_taken_from_the_stream() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=3).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    sqlx::query("DELETE FROM events.tail")
        .execute(&desk.producer)
        .await?;
    desk.count("a", 4..=6).await?;
    let _relay = desk.relay().await?;
    desk.expect_applied("a", 1..=6).await?;
    desk.expect_outbox(0).await?;
    let versions: Vec<i64> = desk
        .stored("a")
        .await?
        .into_iter()
        .map(|(version, _)| version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_tail_is_begun_anew() -> Result<()> {
    let desk = Desk::start().await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=3).await?;
    desk.expect_applied("a", 1..=3).await?;
    desk.expect_outbox(0).await?;
    desk.lose_all_but(0).await?;
    desk.count("a", 4..=6).await?;
    desk.expect_applied("a", 1..=6).await?;
    desk.expect_outbox(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_only_the_server_remembers_counts_as_published() -> Result<()> {
    let mut desk = Desk::start().await?;
    desk.settings.stream_dedup_window_ms = 120_000;
    desk.count("a", 1..=3).await?;
    desk.crash("relay", "events.relay.after_publish").await?;
    // Without the messages the expected sequences hold, and the batch is rejected for its message
    // ids alone.
    desk.lose_all_but(0).await?;
    let _relay = desk.relay().await?;
    desk.expect_outbox(0).await?;
    assert_eq!(desk.stored("a").await?, []);
    desk.count("a", [4]).await?;
    desk.expect_outbox(0).await?;
    assert_eq!(desk.stored("a").await?, [(4, counted("a", 4))]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_comes_late_begins_where_the_stream_does() -> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    desk.count("a", 1..=5).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    desk.lose_all_but(2).await?;
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 4..=5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_stops_its_key_and_no_other() -> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    desk.count("a", [1]).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    desk.inject("a", 7, prost::Message::encode_to_vec(&counted("a", 7)))
        .await?;
    let neighbour = neighbour("a");
    desk.count("a", [2]).await?;
    desk.count(&neighbour, 1..=2).await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.expect_applied(&neighbour, 1..=2).await?;
    desk.expect_applied("a", [1]).await?;
    assert_eq!(desk.expect_stopped("a").await?.cause, "forked");
    desk.expect_outbox(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_fact_in_the_stream_stops_the_key_until_an_operator_decides() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=2).await?;
    desk.count("b", 1..=2).await?;
    desk.expect_outbox(0).await?;
    desk.snapshot().await?;
    desk.count("a", 3..=4).await?;
    desk.expect_applied("a", 1..=4).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    // The producer's database goes back to where the stream ended with 2, and takes another way.
    desk.restore().await?;
    desk.count("a", 30..=31).await?;
    desk.count("b", [3]).await?;
    let _relay = desk.relay().await?;
    desk.expect_applied("b", 1..=3).await?;
    let stopped = desk.expect_stopped("a").await?;
    assert_eq!((stopped.cause.as_str(), stopped.version), ("forked", 3));
    assert_eq!(stopped.waiting, 2);
    assert_eq!(desk.applied("a").await?, [1, 2, 3, 4]);
    let bus = events::connect(&desk.settings, desk.producer.clone()).await?;
    let refused = bus.rebuild(CONTEXT).await.unwrap_err();
    assert!(
        matches!(refused, events::Error::StoppedKeys { keys: 1, .. }),
        "{refused}"
    );
    assert_eq!(desk.stored("a").await?.len(), 4);

    // The stream's facts stay, those of the database follow them.
    stopped::resolve(&desk.producer, CONTEXT, "a", Resolution::Renumber).await?;
    desk.expect_applied("a", [1, 2, 3, 4, 30, 31]).await?;
    desk.count("a", [32]).await?;
    desk.expect_applied("a", [1, 2, 3, 4, 30, 31, 32]).await?;
    desk.expect_outbox(0).await?;
    audit.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_fact_recorded_anew_counts_as_published() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=2).await?;
    desk.expect_outbox(0).await?;
    desk.snapshot().await?;
    desk.count("a", 3..=5).await?;
    desk.expect_applied("a", 1..=5).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    desk.restore().await?;
    desk.count("a", 3..=6).await?;
    let _relay = desk.relay().await?;
    desk.expect_applied("a", 1..=6).await?;
    desk.expect_outbox(0).await?;
    assert_eq!(desk.stored("a").await?.len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_the_server_refuses_stops_its_key_and_no_other() -> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    desk.count("a", [1]).await?;
    desk.expect_outbox(0).await?;
    let mut config = desk.stream().await?.cached_info().config.clone();
    config.max_message_size = 1000;
    desk.update_stream(&config).await?;
    let long = "l".repeat(200);
    // All in one batch.
    relay.stop().await?;
    desk.count_with(&long, 1, 2000).await?;
    desk.count(&long, [2]).await?;
    desk.count("a", [2]).await?;
    let relay = desk.relay().await?;
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 1..=2).await?;
    assert_eq!(desk.expect_stopped(&long).await?.cause, "refused");
    desk.expect_outbox(2).await?;
    stopped::resolve(&desk.producer, CONTEXT, &long, Resolution::Discard).await?;
    desk.expect_applied(&long, [2]).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_loses_the_lease() -> Result<()> {
    let desk = Desk::start().await?;
    let hanging = desk.hang("relay").await?;
    let (_second, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=3).await?;
    desk.expect_applied("a", 1..=3).await?;
    // Awake again, it finds another owner, and changes nothing.
    hanging.wake()?;
    desk.count("a", 4..=6).await?;
    desk.expect_applied("a", 1..=6).await?;
    desk.expect_outbox(0).await?;
    assert_eq!(desk.stored("a").await?.len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_stream_is_rebuilt_from_the_archive() -> Result<()> {
    let desk = Desk::start().await?;
    let (_relay, audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=3).await?;
    desk.count("b", 1..=2).await?;
    desk.expect_applied("a", 1..=3).await?;
    desk.expect_applied("b", 1..=2).await?;
    audit.stop().await?;
    desk.count("a", 4..=5).await?;
    desk.expect_outbox(0).await?;
    desk.lose_all_but(0).await?;
    let bus = events::connect(&desk.settings, desk.producer.clone()).await?;
    assert_eq!(bus.rebuild(CONTEXT).await?, 7);
    desk.expect_outbox(0).await?;
    let _audit = desk.audit(auditor()).await?;
    desk.count("a", [6]).await?;
    desk.expect_applied("a", 1..=6).await?;
    desk.expect_applied("b", 1..=2).await?;
    let numbers: Vec<i64> = desk
        .stored("a")
        .await?
        .into_iter()
        .map(|(_, fact)| fact.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_went_back_gets_its_facts_again() -> Result<()> {
    let desk = Desk::start().await?;
    let _relay = desk.relay().await?;
    desk.count("a", 1..=2).await?;
    desk.expect_outbox(0).await?;
    let copy = tempfile::tempdir()?;
    desk.copy_streams(copy.path()).await?;
    desk.count("a", 3..=4).await?;
    desk.count("b", 1..=2).await?;
    desk.expect_outbox(0).await?;
    desk.restore_streams(copy.path()).await?;
    // Nothing new is published, and nobody has read what is lost.
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 1..=4).await?;
    desk.expect_applied("b", 1..=2).await?;
    desk.count("a", [5]).await?;
    desk.expect_applied("a", 1..=5).await?;
    let stored = desk.stored("a").await?;
    let versions: Vec<i64> = stored.into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_clock_that_was_set_back_is_taken() -> Result<()> {
    let desk = Desk::start().await?;
    desk.count("a", [1]).await?;
    sqlx::query(
        "INSERT INTO events.lease (name, owner, epoch, expires_at)
         VALUES ('relay', gen_random_uuid(), 1, now() + interval '1 hour')",
    )
    .execute(&desk.producer)
    .await?;
    desk.relay_until_empty().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_an_operator_stay() -> Result<()> {
    let desk = Desk::start().await?;
    desk.count("a", [1]).await?;
    desk.relay_until_empty().await?;
    let mut config = desk.stream().await?.cached_info().config.clone();
    config.max_age *= 2;
    desk.update_stream(&config).await?;
    desk.count("a", [2]).await?;
    desk.relay_until_empty().await?;
    assert_eq!(
        desk.stream().await?.cached_info().config.max_age,
        config.max_age
    );
    Ok(())
}

/// Returns another tally of the same lane.
fn neighbour(tally: &str) -> String {
    let mut names = (0..).map(|n| format!("n{n}"));
    names
        .find(|name| lane(name) == lane(tally))
        .unwrap_or_default()
}

fn lane(tally: &str) -> String {
    subject(tally)
        .split('.')
        .nth(3)
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_records_many_facts_in_their_order() -> Result<()> {
    let desk = Desk::start().await?;
    desk.count("a", [1]).await?;
    let facts = [("a", 2), ("b", 1), ("a", 3), ("c", 1), ("b", 2), ("a", 4)];
    let facts = facts.map(|(tally, number)| counted(tally, number));
    let mut tx = desk.producer.begin().await?;
    events::publish_all(&mut tx, &facts).await?;
    events::publish_all::<Counted>(&mut tx, &[]).await?;
    tx.commit().await?;
    desk.relay_until_empty().await?;
    for (tally, last) in [("a", 4), ("b", 2), ("c", 1)] {
        let expected: Vec<_> = (1..=last).map(|n| (n, counted(tally, n))).collect();
        assert_eq!(desk.stored(tally).await?, expected);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_is_committed_late_is_published() -> Result<()> {
    let desk = Desk::start().await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    // It has a lower id than all that follow, and becomes visible after they are published.
    let mut late = desk.producer.begin().await?;
    events::publish(&mut late, &counted("late", 1)).await?;
    let started = Instant::now();
    let mut number = 0;
    // Longer than the relay takes to move its watermark.
    while started.elapsed() < Duration::from_secs(2) {
        number += 1;
        desk.count("a", [number]).await?;
        desk.expect_outbox(0).await?;
    }
    late.commit().await?;
    desk.expect_applied("late", [1]).await?;
    desk.expect_applied("a", 1..=number).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_key_that_is_resumed_is_published() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("b", [1]).await?;
    desk.expect_applied("b", [1]).await?;
    relay.stop().await?;
    desk.inject("a", 1, Vec::new()).await?;
    let _relay = desk.relay().await?;
    desk.count("a", [1]).await?;
    desk.expect_stopped("a").await?;
    let started = Instant::now();
    let mut number = 1;
    // Longer than the relay takes to move its watermark past the stopped row.
    while started.elapsed() < Duration::from_secs(2) {
        number += 1;
        desk.count("b", [number]).await?;
        desk.expect_outbox(1).await?;
    }
    stopped::resolve(&desk.producer, CONTEXT, "a", Resolution::Renumber).await?;
    desk.expect_outbox(0).await?;
    assert_eq!(desk.stored("a").await?.last(), Some(&(2, counted("a", 1))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_forgotten_with_its_last_archived_fact() -> Result<()> {
    let desk = Desk::start().await?;
    desk.count("a", 1..=3).await?;
    desk.count("b", [1]).await?;
    desk.relay_until_empty().await?;
    sqlx::query(
        "UPDATE events.archive SET archived_at = now() - interval '8 days' WHERE key = 'a'",
    )
    .execute(&desk.producer)
    .await?;
    let relay = desk.relay().await?;
    until("the archive is pruned", async || {
        let left: Vec<String> = sqlx::query_scalar("SELECT subject FROM events.tail")
            .fetch_all(&desk.producer)
            .await?;
        Ok((left == [subject("b")]).then_some(()).ok_or(left))
    })
    .await?;
    // The stream still has the facts, and the chain goes on.
    desk.count("a", [4]).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    let stored = desk.stored("a").await?;
    let versions: Vec<i64> = stored.into_iter().map(|(version, _)| version).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    Ok(())
}
