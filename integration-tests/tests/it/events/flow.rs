//! Events are applied once and in order, in spite of repetition, delay and failed engines.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_nats::jetstream::consumer::PullConsumer;
use events::HandlerError;
use futures::StreamExt as _;
use futures::future::try_join_all;

use super::desk::{
    AGGREGATE, CONSUMER, CONTEXT, Counted, Desk, auditor, counted, picky_auditor, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn facts_arrive_once_and_in_order() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    let tallies: Vec<String> = (0..20).map(|n| format!("tally {n}.*>ü")).collect();
    try_join_all(tallies.iter().map(|tally| desk.count(tally, 1..=25))).await?;
    for tally in &tallies {
        desk.expect_applied(tally, 1..=25).await?;
    }
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    audit.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_committed_is_published() -> Result<()> {
    let desk = Desk::start().await?;
    let mut tx = desk.producer.begin().await?;
    events::publish(&mut tx, &counted("a", 1)).await?;
    tx.rollback().await?;
    desk.count("a", [2]).await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.expect_applied("a", [2]).await?;
    assert_eq!(desk.stored("a").await?, [(1, counted("a", 2))]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_wait_for_the_relay() -> Result<()> {
    let desk = Desk::start().await?;
    let _audit = desk.audit(auditor()).await?;
    desk.relay().await?.stop().await?;
    desk.count("a", 1..=3).await?;
    assert_eq!(desk.outbox().await?, 3);
    assert!(desk.applied("a").await?.is_empty());
    let _relay = desk.relay().await?;
    desk.expect_applied("a", 1..=3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over() -> Result<()> {
    let desk = Desk::start().await?;
    let (first, _second) = (desk.relay().await?, desk.relay().await?);
    let _audit = desk.audit(auditor()).await?;
    desk.count("a", 1..=2).await?;
    desk.expect_applied("a", 1..=2).await?;
    first.stop().await?;
    desk.count("a", 3..=4).await?;
    desk.expect_applied("a", 1..=4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_stopped_while_it_records_gives_the_lease_back() -> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    desk.count("a", [1]).await?;
    desk.expect_outbox(0).await?;
    let mut held = desk.producer.begin().await?;
    sqlx::query("SELECT FROM events.tail FOR UPDATE")
        .execute(&mut *held)
        .await?;
    desk.count("a", [2]).await?;
    desk.expect_waiting("%events.tail%").await?;
    let stopped = tokio::spawn(relay.stop());
    desk.expect_waiting("UPDATE events.lease%").await?;
    held.rollback().await?;
    tokio::time::timeout(Duration::from_secs(20), stopped).await???;
    let is_free: bool = sqlx::query_scalar("SELECT expires_at = '-infinity' FROM events.lease")
        .fetch_one(&desk.producer)
        .await?;
    assert!(is_free);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubled_message_has_one_effect() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("a", 1..=2).await?;
    desk.expect_applied("a", 1..=2).await?;
    relay.stop().await?;
    for number in 1..=2 {
        desk.inject("a", number, encode(&counted("a", number)))
            .await?;
    }
    // The stream is read in order, so a later event proves that the duplicates were read.
    desk.inject("a", 3, encode(&counted("a", 3))).await?;
    desk.expect_applied("a", 1..=3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_is_waited_for() -> Result<()> {
    let desk = Desk::start().await?;
    desk.count("a", [1]).await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.expect_applied("a", [1]).await?;
    relay.stop().await?;
    for number in [4, 3] {
        desk.inject("a", number, encode(&counted("a", number)))
            .await?;
    }
    // Other keys go on, which proves that the early events have been delivered.
    desk.inject("b", 1, encode(&counted("b", 1))).await?;
    desk.expect_applied("b", [1]).await?;
    assert_eq!(desk.applied("a").await?, [1]);
    desk.inject("a", 2, encode(&counted("a", 2))).await?;
    desk.expect_applied("a", 1..=4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_stream_unread_parks_its_key() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("b", [1]).await?;
    desk.expect_applied("b", [1]).await?;
    audit.stop().await?;
    desk.count("a", 1..=4).await?;
    desk.expect_outbox(0).await?;
    relay.stop().await?;
    desk.lose_all_but(2).await?;
    let stream = desk.stream().await?;
    // A consumer that receives the 3 and dies: the 4 is delivered first.
    let durable: PullConsumer = stream
        .get_consumer(&CONSUMER.replace('.', "_"))
        .await
        .map_err(|error| anyhow!(error))?;
    let mut taken = durable.fetch().max_messages(1).messages().await?;
    let message = taken.next().await.context("nothing to take")?;
    let message = message.map_err(|error| anyhow!(error))?;
    let info = message.info().map_err(|error| anyhow!(error))?;
    assert_eq!(info.stream_sequence, 4);
    let _audit = desk.audit(auditor()).await?;
    let parked = until("a is parked", async || {
        let parked = events::parking::list(&desk.auditor, None, 10).await?;
        Ok(parked.first().cloned().ok_or(parked.len()))
    })
    .await?;
    assert_eq!(parked.key, "a");
    assert!(
        parked.reason.contains("messages 2 to 3 left the stream"),
        "{}",
        parked.reason
    );
    desk.inject("c", 1, encode(&counted("c", 1))).await?;
    desk.expect_applied("c", [1]).await?;
    assert!(desk.applied("a").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_beginning_left_the_stream_unread_is_parked_though_others_moved_on()
-> Result<()> {
    let desk = Desk::start().await?;
    let relay = desk.relay().await?;
    let failing = picky_auditor(|fact| match fact.tally.as_str() {
        "a" => Err(HandlerError::transient("not yet")),
        _ => Ok(()),
    });
    let mut patient = desk.settings.clone();
    patient.retry_budget_ms = 3_600_000;
    let audit = desk.audit_with(&patient, failing).await?;
    desk.count("a", 1..=2).await?;
    desk.expect_outbox(0).await?;
    desk.count("b", 1..=2).await?;
    desk.expect_applied("b", 1..=2).await?;
    audit.stop().await?;
    desk.lose_all_but(1).await?;
    desk.count("a", [3]).await?;
    desk.expect_outbox(0).await?;
    let _audit = desk.audit(auditor()).await?;
    let parked = until("a is parked", async || {
        let parked = events::parking::list(&desk.auditor, None, 10).await?;
        Ok(parked.first().cloned().ok_or(parked.len()))
    })
    .await?;
    assert_eq!((parked.key.as_str(), parked.version), ("a", 3));
    assert!(desk.applied("a").await?.is_empty());
    // One that begins now is not concerned.
    desk.count("c", [1]).await?;
    desk.expect_applied("c", [1]).await?;
    relay.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_gets_its_effects_again() -> Result<()> {
    let desk = Desk::start().await?;
    let _relay = desk.relay().await?;
    let audit = desk.audit(auditor()).await?;
    desk.count("a", 1..=2).await?;
    desk.expect_applied("a", 1..=2).await?;
    audit.stop().await?;
    desk.snapshot_effects().await?;
    let audit = desk.audit(auditor()).await?;
    desk.count("a", 3..=4).await?;
    desk.count("b", [1]).await?;
    desk.expect_applied("a", 1..=4).await?;
    desk.expect_applied("b", [1]).await?;
    audit.stop().await?;
    desk.restore_effects().await?;
    assert_eq!(desk.applied("a").await?, [1, 2]);
    // The stream delivers nothing again.
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("a", 1..=4).await?;
    desk.expect_applied("b", [1]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_without_a_handler_counts_as_applied() -> Result<()> {
    let desk = Desk::start().await?;
    let deaf = events::Consumer::new("audit.deaf", CONTEXT, AGGREGATE);
    let (_relay, _audit) = (desk.relay().await?, desk.audit(deaf).await?);
    desk.count("a", 1..=5).await?;
    until("the watermark is 5", async || {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT version FROM events.inbox WHERE key = 'a'")
                .fetch_optional(&desk.auditor)
                .await?;
        Ok((version == Some(5)).then_some(()).ok_or(version))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_survive_killed_engines() -> Result<()> {
    let desk = Desk::start().await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    let tallies: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    for (engine, first) in [("nats", 1), ("postgres", 51)] {
        try_join_all(
            tallies
                .iter()
                .map(|tally| desk.count(tally, first..first + 50)),
        )
        .await?;
        let life = desk.stack.kill(engine)?;
        desk.stack.revived(engine, &life).await?;
    }
    for tally in &tallies {
        desk.expect_applied(tally, 1..=100).await?;
    }
    desk.expect_outbox(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_without_a_usable_key_or_too_large_are_refused() -> Result<()> {
    let desk = Desk::start().await?;
    let long = "k".repeat(events::MAX_KEY_BYTES + 1);
    let mut tx = desk.producer.begin().await?;
    for tally in ["", &long] {
        let refused = events::publish(&mut tx, &counted(tally, 1)).await;
        assert!(
            matches!(refused, Err(events::Error::Key { .. })),
            "{refused:?}"
        );
    }
    let large = Large {
        text: "x".repeat(events::MAX_PAYLOAD_BYTES),
    };
    let refused = events::publish(&mut tx, &large).await;
    assert!(
        matches!(refused, Err(events::Error::TooLarge { .. })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_long_after_its_facts_have_left_the_stream() -> Result<()> {
    let desk = Desk::start().await?;
    let _relay = desk.relay().await?;
    let audit = desk.audit(auditor()).await?;
    desk.count("a", 1..=3).await?;
    desk.expect_applied("a", 1..=3).await?;
    desk.expect_outbox(0).await?;
    desk.lose_all_but(0).await?;
    desk.count("b", [1]).await?;
    desk.expect_applied("b", [1]).await?;
    audit.stop().await?;
    // A consumer that starts notes where the stream begins, once an hour.
    sqlx::query("DELETE FROM events.expiry")
        .execute(&desk.auditor)
        .await?;
    let audit = desk.audit(auditor()).await?;
    until("the beginning of the stream is noted", async || {
        let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM events.expiry")
            .fetch_one(&desk.auditor)
            .await?;
        Ok((noted == 1).then_some(()).ok_or(noted))
    })
    .await?;
    audit.stop().await?;
    sqlx::query("UPDATE events.expiry SET noted_at = noted_at - interval '31 days'")
        .execute(&desk.auditor)
        .await?;
    let _audit = desk.audit(auditor()).await?;
    until("only b is remembered", async || {
        let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM events.inbox")
            .fetch_all(&desk.auditor)
            .await?;
        Ok((keys == ["b"]).then_some(()).ok_or(keys))
    })
    .await?;
    desk.count("a", 4..=5).await?;
    desk.expect_applied("a", 1..=5).await
}

#[derive(Clone, PartialEq, prost::Message)]
struct Large {
    #[prost(string, tag = "1")]
    text: String,
}

impl contract::Event for Large {
    const TYPE: &'static str = "counting.v1.Large";
    const CONTEXT: &'static str = CONTEXT;
    const AGGREGATE: &'static str = AGGREGATE;

    fn key(&self) -> &str {
        "a"
    }
}

fn encode(fact: &Counted) -> Vec<u8> {
    prost::Message::encode_to_vec(fact)
}
