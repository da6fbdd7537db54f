//! Relay and stream disagree: which one prevails, and which messages are kept.

use anyhow::Result;

use super::desk::{Desk, auditor, counted, subject};

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
    desk.stream().await?.purge().await?;
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
    desk.stream().await?.purge().await?;
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
    desk.stream().await?.purge().sequence(4).await?;
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 4..=5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_message_stops_its_lane_and_no_other() -> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    desk.count("a", [1]).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    desk.inject("a", 7, prost::Message::encode_to_vec(&counted("a", 7)))
        .await?;
    assert_ne!(lane("a"), lane("b"));
    desk.count("a", [2]).await?;
    desk.count("b", 1..=2).await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.expect_applied("b", 1..=2).await?;
    desk.expect_applied("a", [1]).await?;
    desk.expect_outbox(1).await
}

fn lane(tally: &str) -> String {
    subject(tally)
        .split('.')
        .nth(3)
        .unwrap_or_default()
        .to_owned()
}
