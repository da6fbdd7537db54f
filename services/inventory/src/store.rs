//! The database of stock: one function is one transaction.

use std::collections::BTreeSet;

use ::store::columns;
use sqlx::{PgConnection, PgPool};

use crate::{
    error::Error,
    model::{Change, Changes, Count, Pieces, State, Stock, Totals},
};

mod reservations;
mod returns;

pub use reservations::{release, release_in, reservation, reserve, ship, ship_in};
pub use returns::take_back;

::store::text_enum!(State);

/// The change that each counted or returned piece brings.
const RECEIVED: Change = Change {
    on_hand: 1,
    reserved: 0,
};

/// Records counts that are new and adds them to stock; returns how many were new.
pub async fn count(pool: &PgPool, mut counts: Vec<Count>) -> Result<usize, Error> {
    counts.sort();
    let mut tx = pool.begin().await?;
    let mut inserted = insert_counts(&mut tx, &counts).await?;
    let (new, known): (Vec<&Count>, Vec<&Count>) = counts
        .iter()
        .partition(|count| inserted.remove(&count.request_id));
    check_repeated(&mut tx, &known).await?;
    let mut changes = Changes::default();
    for count in &new {
        let pieces = Pieces::from([(count.sku.clone(), count.quantity)]);
        changes.add(&pieces, RECEIVED);
    }
    lock_free(&mut tx, new.iter().map(|count| &count.sku)).await?;
    move_stock(&mut tx, &changes).await?;
    tx.commit().await?;
    Ok(new.len())
}

/// Returns the stock of one SKU.
pub async fn stock(pool: &PgPool, sku: &str) -> Result<Stock, Error> {
    sqlx::query_as!(
        Stock,
        "SELECT sku, on_hand, reserved FROM stock WHERE sku = $1",
        sku
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| Error::UnknownSku(sku.to_owned()))
}

/// Returns up to `limit` SKUs that come after `after`, in order.
pub async fn list(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<Stock>, Error> {
    Ok(sqlx::query_as!(
        Stock,
        "SELECT sku, on_hand, reserved FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2",
        after,
        limit
    )
    .fetch_all(pool)
    .await?)
}

/// Returns totals over all SKUs.
pub async fn totals(pool: &PgPool) -> Result<Totals, Error> {
    Ok(sqlx::query_as!(
        Totals,
        r#"SELECT
             (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_count) AS "counted!",
             (SELECT coalesce(sum(quantity), 0)::bigint FROM reservation_line
                JOIN reservation USING (reservation_id) WHERE state = 'SHIPPED') AS "shipped!",
             (SELECT coalesce(sum(quantity), 0)::bigint FROM stock_return_line) AS "returned!",
             (SELECT coalesce(sum(reserved), 0)::bigint FROM stock) AS "reserved!",
             (SELECT coalesce(sum(on_hand), 0)::bigint FROM stock) AS "on_hand!""#
    )
    .fetch_one(pool)
    .await?)
}

/// Inserts counts and the rows of their SKUs, in SKU order; returns the request ids that are new.
async fn insert_counts(tx: &mut PgConnection, counts: &[Count]) -> Result<BTreeSet<String>, Error> {
    let (requests, skus, quantities) = columns!(
        counts,
        count => count.request_id.as_str(),
        count.sku.as_str(),
        count.quantity,
    );
    sqlx::query!(
        r#"INSERT INTO stock (sku) SELECT DISTINCT sku COLLATE "C" FROM unnest($1::text[]) AS new (sku) ORDER BY 1
           ON CONFLICT DO NOTHING"#,
        &skus as &[&str]
    )
    .execute(&mut *tx)
    .await?;
    let inserted = sqlx::query_scalar!(
        "INSERT INTO stock_count (request_id, sku, quantity)
         SELECT request_id, sku, quantity
         FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS new (request_id, sku, quantity, place)
         ORDER BY place ON CONFLICT DO NOTHING RETURNING request_id",
        &requests as &[&str],
        &skus as &[&str],
        &quantities
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Fails if a repeated request says something else than before.
async fn check_repeated(tx: &mut PgConnection, counts: &[&Count]) -> Result<(), Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let requests: Vec<_> = counts.iter().map(|count| &*count.request_id).collect();
    let known = sqlx::query_as!(
        Count,
        "SELECT sku, request_id, quantity FROM stock_count WHERE request_id = ANY($1)",
        &requests as &[&str]
    )
    .fetch_all(tx)
    .await?;
    let is_repeated = |count: &&&Count| known.contains(**count);
    match counts.iter().find(|count| !is_repeated(count)) {
        Some(changed) => Err(Error::CountChanged(changed.request_id.clone())),
        None => Ok(()),
    }
}

/// Locks the rows of the SKUs in SKU order and returns the free pieces of each. Every change of
/// several SKUs begins here, so that no two transactions deadlock.
async fn lock_free<'a>(
    tx: &mut PgConnection,
    skus: impl IntoIterator<Item = &'a String>,
) -> Result<Pieces, Error> {
    let skus: BTreeSet<&str> = skus.into_iter().map(String::as_str).collect();
    let skus: Vec<_> = skus.into_iter().collect();
    let rows = sqlx::query!(
        "SELECT sku, on_hand, reserved FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE",
        &skus as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sku, row.on_hand - row.reserved))
        .collect())
}

/// Writes changes of locked SKUs.
async fn move_stock(tx: &mut PgConnection, changes: &Changes) -> Result<(), Error> {
    let (skus, on_hand, reserved) =
        columns!(changes, (sku, change) => sku.as_str(), change.on_hand, change.reserved);
    sqlx::query!(
        "UPDATE stock SET on_hand = stock.on_hand + change.on_hand, reserved = stock.reserved + change.reserved
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS change (sku, on_hand, reserved)
         WHERE stock.sku = change.sku",
        &skus as &[&str],
        &on_hand,
        &reserved
    )
    .execute(tx)
    .await?;
    Ok(())
}
