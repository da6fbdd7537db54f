//! The whole path beside the slower one of its engines.

use std::time::Instant;

use anyhow::{Result, ensure};
use uuid::Uuid;

use super::lab::{Counted, Lab, Ledgers, facts, insert};
use super::{Row, Sizes};

/// Keys of the facts.
const KEYS: u32 = 1000;
/// Rows in one transaction, messages in one batch: as the relay publishes.
const BATCH: usize = 500;

pub(super) async fn measure(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let facts = facts(plan.facts, |number| format!("k{}", number % KEYS));
    let database = rows(lab, &facts).await?;
    let broker = messages(lab, &facts).await?;
    let path = path(lab, &facts).await?;
    report(&Row::info(
        "rows inserted and committed by 500",
        database,
        "rows/s",
    ))?;
    report(&Row::info(
        "messages published and synced by 500",
        broker,
        "messages/s",
    ))?;
    report(&Row::info("facts through the whole path", path, "facts/s"))?;
    let ratio = path / database.min(broker);
    report(&Row::at_least(
        "whole path by the slower limit",
        ratio,
        "ratio",
        0.6,
    ))
}

async fn rows(lab: &Lab, facts: &[Counted]) -> Result<f64> {
    let pool = lab.database().await?;
    let started = Instant::now();
    for batch in facts.chunks(BATCH) {
        let mut tx = pool.begin().await?;
        insert(&mut tx, batch).await?;
        tx.commit().await?;
    }
    Ok(rate(facts, started))
}

async fn messages(lab: &Lab, facts: &[Counted]) -> Result<f64> {
    let url = lab.stack.nats_url("operator")?;
    let address: async_nats::ServerAddr = url.parse()?;
    let user = address.username().unwrap_or_default().to_owned();
    let password = address.password().unwrap_or_default().to_owned();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let client = options.connect(&url).await?;
    let jetstream = async_nats::jetstream::new(client.clone());
    let config = async_nats::jetstream::stream::Config {
        name: "RAW".to_owned(),
        subjects: vec!["raw.>".to_owned()],
        allow_atomic_publish: true,
        ..Default::default()
    };
    jetstream.create_stream(config).await?;
    let started = Instant::now();
    for batch in facts.chunks(BATCH) {
        let id = Uuid::new_v4().to_string();
        for (place, fact) in (1..).zip(batch) {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", place.to_string());
            let subject = format!("raw.{}", fact.key);
            let payload = prost::Message::encode_to_vec(fact).into();
            if place < batch.len() {
                client
                    .publish_with_headers(subject, headers, payload)
                    .await?;
                continue;
            }
            headers.insert("Nats-Batch-Commit", "1");
            let answer = client
                .request_with_headers(subject, headers, payload)
                .await?;
            let answer = String::from_utf8_lossy(&answer.payload).into_owned();
            ensure!(!answer.contains("error"), "{answer}");
        }
    }
    let rate = rate(facts, started);
    jetstream.delete_stream("RAW").await?;
    Ok(rate)
}

async fn path(lab: &Lab, facts: &[Counted]) -> Result<f64> {
    let bench: Ledgers = lab.bench(count(facts)).await?;
    let bus = bench.bus().await?;
    let (relay, consumer) = (bench.relay(&bus), bench.consume().await?);
    let started = Instant::now();
    bench.publish(&bus, facts).await?;
    bench.seen.until(count(facts)).await?;
    let rate = rate(facts, started);
    relay.stop().await?;
    consumer.stop().await?;
    Ok(rate)
}

fn rate(facts: &[Counted], since: Instant) -> f64 {
    facts.len() as f64 / since.elapsed().as_secs_f64()
}

fn count(facts: &[Counted]) -> u32 {
    u32::try_from(facts.len()).unwrap_or(u32::MAX)
}
