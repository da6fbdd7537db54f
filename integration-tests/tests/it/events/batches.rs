//! Facts of many keys are applied in one transaction; one that fails holds up its own key only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use events::parking;
use events::{Consumer, HandlerError};
use futures::future::try_join_all;
use tokio::sync::watch;

use super::desk::{
    AGGREGATE, CONSUMER, CONTEXT, Counted, Desk, auditor, failing, picky_auditor, until,
};

const KEYS: usize = 60;

fn tallies(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("t{n}")).collect()
}

/// Returns a consumer that records all facts of a call in one statement, then asks `judge`.
fn batch_auditor(
    judge: impl Fn(&[Counted]) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> Consumer {
    let judge = Arc::new(judge);
    Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on_batch::<Counted>(move |tx, facts| {
        let judge = judge.clone();
        Box::pin(async move {
            let tallies: Vec<String> = facts.iter().map(|fact| fact.tally.clone()).collect();
            let numbers: Vec<i64> = facts.iter().map(|fact| fact.number).collect();
            sqlx::query(
                "INSERT INTO applied (tally, number) SELECT * FROM unnest($1::text[], $2::bigint[])",
            )
            .bind(tallies)
            .bind(numbers)
            .execute(tx)
            .await?;
            judge(&facts)
        })
    })
}

impl Desk {
    /// Puts `each` facts of every tally into the stream, before any consumer runs.
    async fn backlog(&self, tallies: &[String], each: i64) -> Result<()> {
        try_join_all(tallies.iter().map(|tally| self.count(tally, 1..=each))).await?;
        self.relay_until_empty().await
    }

    async fn expect_parked(&self, key: &str, versions: &[i64]) -> Result<()> {
        until(&format!("{key} is parked from {versions:?}"), async || {
            let facts = parking::show(&self.auditor, CONSUMER, key, 100).await?;
            let parked: Vec<i64> = facts.iter().map(|fact| fact.version).collect();
            Ok((parked == versions).then_some(()).ok_or(parked))
        })
        .await
    }

    /// Counts the transactions, or parts of them since a savepoint, that have applied facts.
    async fn transactions(&self) -> Result<i64> {
        let count = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM applied");
        Ok(count.fetch_one(&self.auditor).await?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_many_keys_share_a_transaction() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(KEYS);
    desk.backlog(&tallies, 4).await?;
    let _audit = desk.audit(auditor()).await?;
    for tally in &tallies {
        desk.expect_applied(tally, 1..=4).await?;
    }
    let transactions = desk.transactions().await?;
    ensure!(
        transactions <= 24,
        "{transactions} transactions for 240 facts"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_fact_in_a_batch_parks_its_key_only() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(KEYS);
    desk.backlog(&tallies, 4).await?;
    let is_bad = |fact: &Counted| fact.tally == "t7" && fact.number == 3;
    let _audit = desk
        .audit(picky_auditor(move |fact| match is_bad(fact) {
            true => Err(HandlerError::poison("3 is not to be borne")),
            false => Ok(()),
        }))
        .await?;
    for tally in tallies.iter().filter(|tally| *tally != "t7") {
        desk.expect_applied(tally, 1..=4).await?;
    }
    desk.expect_parked("t7", &[3, 4]).await?;
    assert_eq!(desk.applied("t7").await?, [1, 2]);
    let parked = parking::list(&desk.auditor, None, 10).await?;
    assert_eq!((parked.len(), parked[0].attempts), (1, 1));
    assert_eq!(parked[0].reason, "3 is not to be borne");
    let transactions = desk.transactions().await?;
    ensure!(
        transactions <= 60,
        "{transactions} transactions for 240 facts"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_fact_in_a_batch_handler_parks_its_key_only() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(KEYS);
    desk.backlog(&tallies, 1).await?;
    desk.inject("bad", 1, vec![0xff; 8]).await?;
    desk.inject("bad", 2, vec![]).await?;
    let _audit = desk.audit(batch_auditor(|_| Ok(()))).await?;
    for tally in &tallies {
        desk.expect_applied(tally, [1]).await?;
    }
    desk.expect_parked("bad", &[1, 2]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_across_batches_and_instances() -> Result<()> {
    let mut desk = Desk::start().await?;
    desk.settings.consumer_batch_facts = 7;
    let tallies = tallies(10);
    let relay = desk.relay().await?;
    let (first, second) = (desk.audit(auditor()).await?, desk.audit(auditor()).await?);
    try_join_all(tallies.iter().map(|tally| desk.count(tally, 1..=60))).await?;
    for tally in &tallies {
        desk.expect_applied(tally, 1..=60).await?;
    }
    assert_eq!(parking::list(&desk.auditor, None, 10).await?, []);
    first.stop().await?;
    second.stop().await?;
    relay.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_acknowledgements_are_lost_is_applied_once() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(KEYS);
    desk.backlog(&tallies, 3).await?;
    for point in [
        "events.consumer.before_commit",
        "events.consumer.after_commit",
    ] {
        desk.crash("consumer", point).await?;
    }
    let committed: i64 = sqlx::query_scalar("SELECT count(*) FROM applied")
        .fetch_one(&desk.auditor)
        .await?;
    ensure!(committed > 0, "no batch was committed");
    let _audit = desk.audit(auditor()).await?;
    for tally in &tallies {
        desk.expect_applied(tally, 1..=3).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_handler_gets_many_facts_and_may_fail_for_a_time() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(KEYS);
    desk.backlog(&tallies, 3).await?;
    let (most, fail) = (Arc::new(AtomicUsize::new(0)), failing(3));
    let seen = most.clone();
    let _audit = desk
        .audit(batch_auditor(move |facts| {
            seen.fetch_max(facts.len(), Ordering::SeqCst);
            fail()
        }))
        .await?;
    for tally in &tallies {
        desk.expect_applied(tally, 1..=3).await?;
    }
    assert_eq!(parking::list(&desk.auditor, None, 10).await?, []);
    let most = most.load(Ordering::SeqCst);
    ensure!(most >= 30, "at most {most} facts in one call");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_at_its_commit_is_applied_key_by_key() -> Result<()> {
    let desk = Desk::start().await?;
    // Checked at the commit, when no savepoint is left to go back to.
    sqlx::raw_sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not t3'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON applied
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.tally = 't3')
             EXECUTE FUNCTION refuse();",
    )
    .execute(&desk.auditor)
    .await?;
    let tallies = tallies(20);
    desk.backlog(&tallies, 2).await?;
    let _audit = desk.audit(auditor()).await?;
    for tally in tallies.iter().filter(|tally| *tally != "t3") {
        desk.expect_applied(tally, 1..=2).await?;
    }
    desk.expect_parked("t3", &[1, 2]).await
}

/// Event: a tally was renamed.
#[derive(Clone, PartialEq, prost::Message)]
struct Renamed {
    #[prost(string, tag = "1")]
    tally: String,
}

impl contract::Event for Renamed {
    const TYPE: &'static str = "counting.v1.Renamed";
    const CONTEXT: &'static str = CONTEXT;
    const AGGREGATE: &'static str = AGGREGATE;

    fn key(&self) -> &str {
        &self.tally
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_two_types_keep_the_order_of_their_key() -> Result<()> {
    let desk = Desk::start().await?;
    let tallies = tallies(10);
    for tally in &tallies {
        for number in [1, 2, 3] {
            desk.count(tally, [number]).await?;
            let mut tx = desk.producer.begin().await?;
            let tally = tally.clone();
            events::publish(&mut tx, &Renamed { tally }).await?;
            tx.commit().await?;
        }
    }
    desk.relay_until_empty().await?;
    let consumer = batch_auditor(|_| Ok(())).on::<Renamed>(|tx, fact| {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO applied (tally, number)
                 SELECT $1, -max(number) FROM applied WHERE tally = $1",
            )
            .bind(fact.tally)
            .execute(tx)
            .await?;
            Ok(())
        })
    });
    let _audit = desk.audit(consumer).await?;
    for tally in &tallies {
        desk.expect_applied(tally, [1, -1, 2, -2, 3, -3]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_leaves_room_for_others() -> Result<()> {
    let mut desk = Desk::start().await?;
    desk.settings.consumer_max_ack_pending = 32;
    desk.count("hot", 1..=400).await?;
    desk.relay_until_empty().await?;
    let others = tallies(20);
    desk.backlog(&others, 2).await?;

    // The key's handler hangs until the others are done.
    let (open, gate) = watch::channel(false);
    let is_entered = Arc::new(AtomicBool::new(false));
    let entered = is_entered.clone();
    let consumer = Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on::<Counted>(move |tx, fact| {
        let (mut gate, entered) = (gate.clone(), entered.clone());
        Box::pin(async move {
            if fact.tally == "hot" {
                entered.store(true, Ordering::SeqCst);
                gate.wait_for(|open| *open)
                    .await
                    .map_err(HandlerError::transient)?;
            }
            sqlx::query("INSERT INTO applied (tally, number) VALUES ($1, $2)")
                .bind(&fact.tally)
                .bind(fact.number)
                .execute(tx)
                .await?;
            Ok(())
        })
    });
    let _audit = desk.audit(consumer).await?;
    for tally in &others {
        desk.expect_applied(tally, 1..=2).await?;
    }
    assert!(is_entered.load(Ordering::SeqCst));
    assert!(desk.applied("hot").await?.is_empty());
    open.send(true).context("the consumer has ended")?;
    desk.expect_applied("hot", 1..=400).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_that_was_acknowledged_ahead_survives_a_crash() -> Result<()> {
    let mut desk = Desk::start().await?;
    desk.settings.consumer_max_ack_pending = 16;
    desk.count("hot", 1..=200).await?;
    desk.relay_until_empty().await?;
    // An instance that has the whole key delivered and applies none of it.
    let (_open, gate) = watch::channel(false);
    let hung = Consumer::new(CONSUMER, CONTEXT, AGGREGATE).on::<Counted>(move |_, _| {
        let mut gate = gate.clone();
        Box::pin(async move {
            let opened = gate.wait_for(|open| *open).await;
            opened.map(drop).map_err(HandlerError::transient)
        })
    });
    let audit = desk.audit(hung).await?;
    let stream = desk.stream().await?;
    until("the stream has nothing left to deliver", async || {
        let durable = stream.consumer_info(CONSUMER.replace('.', "_")).await?;
        Ok((durable.num_pending == 0)
            .then_some(())
            .ok_or(durable.num_pending))
    })
    .await?;
    audit.abort();
    let _audit = desk.audit(auditor()).await?;
    desk.expect_applied("hot", 1..=200).await
}
