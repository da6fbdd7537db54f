//! The cost of a fact to its business transaction.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::Result;
use futures::future::try_join_all;
use sqlx::PgPool;

use super::lab::{Counted, Lab, facts, insert};
use super::{Row, Sizes};

/// Clients at the same time.
const CLIENTS: usize = 8;
/// Rounds of both kinds, one after the other: the machine is not equally busy all the time.
const ROUNDS: u32 = 5;

pub(super) async fn measure(
    lab: &Lab,
    plan: &Sizes,
    report: &mut impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    let pool = lab.database().await?;
    let facts = facts(plan.transactions / ROUNDS, |number| format!("k{number}"));
    let (mut without, mut with) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        without += seconds(&pool, &facts, false).await?;
        with += seconds(&pool, &facts, true).await?;
    }
    let rate = f64::from(plan.transactions) / without;
    report(&Row::info(
        "business transactions of 8 clients",
        rate,
        "tx/s",
    ))?;
    let cost = (with / without - 1.0) * 100.0;
    report(&Row::at_most("cost of the outbox", cost, "%", 25.0))
}

async fn seconds(pool: &PgPool, facts: &[Counted], publishes: bool) -> Result<f64> {
    let next = AtomicU32::new(0);
    let started = Instant::now();
    let client = async || -> Result<()> {
        while let Some(fact) = facts.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            transact(pool, fact, publishes).await?;
        }
        Ok(())
    };
    try_join_all((0..CLIENTS).map(|_| client())).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Changes a row, adds another, and publishes that or not.
async fn transact(pool: &PgPool, fact: &Counted, publishes: bool) -> Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO account AS account (key, number) VALUES ($1, 1)
         ON CONFLICT (key) DO UPDATE SET number = account.number + 1",
    )
    .bind(&fact.key)
    .execute(&mut *tx)
    .await?;
    insert(&mut tx, std::slice::from_ref(fact)).await?;
    if publishes {
        events::publish(&mut tx, fact).await?;
    }
    Ok(tx.commit().await?)
}
