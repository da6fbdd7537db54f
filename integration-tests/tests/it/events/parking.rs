//! Events that can't be applied are parked with their successors, listed, replayed or discarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use events::parking::{self, ParkedKey};
use events::{Consumer, HandlerError};

use super::desk::{
    AGGREGATE, CONSUMER, CONTEXT, Counted, Desk, auditor, counted, failing, picky_auditor, until,
};

/// Rejects the 2 of every tally whose name begins with "bad", until it is cured.
fn poisoned() -> (Consumer, Arc<AtomicBool>) {
    let cured = Arc::new(AtomicBool::new(false));
    let cure = cured.clone();
    let consumer = picky_auditor(move |fact| {
        if fact.tally.starts_with("bad") && fact.number == 2 && !cured.load(Ordering::SeqCst) {
            return Err(HandlerError::poison("2 is not to be borne"));
        }
        Ok(())
    });
    (consumer, cure)
}

/// Waits until `key` is parked with `count` events.
async fn parked(desk: &Desk, key: &str, count: i64) -> Result<ParkedKey> {
    until(&format!("{key} is parked with {count} facts"), async || {
        let all = parking::list(&desk.auditor, Some(CONSUMER), 10).await?;
        let found = all
            .iter()
            .find(|parked| parked.key == key && parked.count == count);
        Ok(found.cloned().ok_or(all))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_key_is_parked_and_others_flow() -> Result<()> {
    let desk = Desk::start().await?;
    let (consumer, _) = poisoned();
    let (_relay, _audit) = (desk.relay().await?, desk.audit(consumer).await?);
    desk.count("bad", 1..=4).await?;
    desk.count("good", 1..=4).await?;
    desk.expect_applied("good", 1..=4).await?;
    let key = parked(&desk, "bad", 3).await?;
    assert_eq!((key.version, key.attempts), (2, 1));
    assert_eq!(key.reason, "2 is not to be borne");
    assert_eq!(
        (key.context.as_str(), key.aggregate.as_str()),
        ("counting", "tally")
    );
    let facts = parking::show(&desk.auditor, CONSUMER, "bad", 10).await?;
    assert_eq!(
        facts.iter().map(|fact| fact.version).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert_eq!(
        prost::Message::encode_to_vec(&counted("bad", 2)),
        facts.first().context("nothing parked")?.payload
    );
    // The rejected effect is rolled back, and nothing overtakes it.
    assert_eq!(desk.applied("bad").await?, [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_goes_on_where_the_key_stood() -> Result<()> {
    let desk = Desk::start().await?;
    let (consumer, cure) = poisoned();
    let (_relay, _audit) = (desk.relay().await?, desk.audit(consumer.clone()).await?);
    desk.count("bad", 1..=3).await?;
    parked(&desk, "bad", 2).await?;

    let replayed = parking::replay(&desk.auditor, &consumer, &desk.settings, "bad").await?;
    assert_eq!(replayed.applied, 0);
    assert_eq!(replayed.stopped.context("it is not cured")?.0, 2);
    assert_eq!(parked(&desk, "bad", 2).await?.attempts, 2);

    cure.store(true, Ordering::SeqCst);
    let replayed = parking::replay(&desk.auditor, &consumer, &desk.settings, "bad").await?;
    assert!(replayed.stopped.is_none());
    assert_eq!(replayed.applied, 2);
    assert_eq!(parking::list(&desk.auditor, None, 10).await?, []);
    desk.count("bad", [4]).await?;
    desk.expect_applied("bad", 1..=4).await?;

    let again = parking::replay(&desk.auditor, &consumer, &desk.settings, "bad").await;
    assert!(
        matches!(again, Err(events::Error::NotParked { .. })),
        "{again:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn discard_gives_up_one_fact_only() -> Result<()> {
    let desk = Desk::start().await?;
    let (consumer, _) = poisoned();
    let (_relay, _audit) = (desk.relay().await?, desk.audit(consumer.clone()).await?);
    desk.count("bad", 1..=3).await?;
    parked(&desk, "bad", 2).await?;
    let replayed = parking::discard(&desk.auditor, &consumer, &desk.settings, "bad", 2).await?;
    assert!(replayed.stopped.is_none());
    desk.count("bad", [4]).await?;
    desk.expect_applied("bad", [1, 3, 4]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_failure_is_tried_again() -> Result<()> {
    let desk = Desk::start().await?;
    let fail = failing(2);
    let (_relay, _audit) = (
        desk.relay().await?,
        desk.audit(picky_auditor(move |_| fail())).await?,
    );
    desk.count("a", 1..=2).await?;
    desk.expect_applied("a", 1..=2).await?;
    assert_eq!(parking::list(&desk.auditor, None, 10).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_failure_is_parked_when_its_budget_is_spent() -> Result<()> {
    let desk = Desk::start().await?;
    let fail = failing(u32::MAX);
    let (_relay, _audit) = (
        desk.relay().await?,
        desk.audit(picky_auditor(move |_| fail())).await?,
    );
    desk.count("a", 1..=2).await?;
    let key = parked(&desk, "a", 2).await?;
    assert_eq!(key.attempts, desk.settings.retry_attempts.cast_signed());
    assert_eq!(key.reason, "a transient failure: not yet");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violated_constraint_is_parked_at_once() -> Result<()> {
    let desk = Desk::start().await?;
    sqlx::query("ALTER TABLE applied ADD UNIQUE (tally), ADD CHECK (number < 100)")
        .execute(&desk.auditor)
        .await?;
    let (_relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("twice", [1, 2]).await?;
    desk.count("large", [100]).await?;
    desk.count("good", [1]).await?;
    for (key, constraint) in [
        ("twice", "applied_tally_key"),
        ("large", "applied_number_check"),
    ] {
        let key = parked(&desk, key, 1).await?;
        assert_eq!(key.attempts, 1);
        assert!(key.reason.contains(constraint), "{}", key.reason);
    }
    desk.expect_applied("good", [1]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_is_parked_and_others_flow() -> Result<()> {
    let desk = Desk::start().await?;
    let panicking = picky_auditor(|fact| {
        assert_ne!(fact.tally, "bad", "a defect of the handler");
        Ok(())
    });
    let (_relay, _audit) = (desk.relay().await?, desk.audit(panicking.clone()).await?);
    desk.count("bad", [1]).await?;
    desk.count("good", [1]).await?;
    desk.expect_applied("good", [1]).await?;
    parked(&desk, "bad", 1).await?;
    let replayed = parking::replay(&desk.auditor, &panicking, &desk.settings, "bad").await?;
    assert_eq!(replayed.stopped.context("it panics again")?.0, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_is_parked() -> Result<()> {
    let mut desk = Desk::start().await?;
    desk.settings.handler_timeout_ms = 500;
    let stuck = Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on::<Counted>(|tx, _| {
        Box::pin(async move {
            sqlx::query("SELECT pg_sleep(3600)").execute(tx).await?;
            Ok(())
        })
    });
    let (_relay, _audit) = (desk.relay().await?, desk.audit(stuck.clone()).await?);
    desk.count("bad", [1]).await?;
    let key = parked(&desk, "bad", 1).await?;
    assert!(key.reason.contains("statement timeout"), "{}", key.reason);
    let replayed = parking::replay(&desk.auditor, &stuck, &desk.settings, "bad").await?;
    assert_eq!(replayed.stopped.context("it is stuck again")?.0, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_decode_is_parked() -> Result<()> {
    let desk = Desk::start().await?;
    let (relay, _audit) = (desk.relay().await?, desk.audit(auditor()).await?);
    desk.count("other", [1]).await?;
    desk.expect_applied("other", [1]).await?;
    relay.stop().await?;
    desk.inject("bad", 1, vec![0xff; 8]).await?;
    desk.inject("bad", 2, vec![]).await?;
    let key = parked(&desk, "bad", 2).await?;
    assert!(
        key.reason
            .starts_with("the payload is not a counting.v1.Counted"),
        "{}",
        key.reason
    );
    assert_eq!(key.attempts, 1);
    Ok(())
}
