//! The database of stock: one function is one transaction.

use std::collections::BTreeSet;

use ::store::{Insert, InsertError, columns, idempotent};
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
    let mut recorded = 0;
    for count in &counts {
        if count_one(&mut tx, count).await? {
            recorded += 1;
        }
    }
    tx.commit().await?;
    Ok(recorded)
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

async fn count_one(tx: &mut PgConnection, count: &Count) -> Result<bool, Error> {
    sqlx::query!(
        "INSERT INTO stock (sku) VALUES ($1) ON CONFLICT DO NOTHING",
        count.sku
    )
    .execute(&mut *tx)
    .await?;
    let inserted = idempotent(
        &mut *tx,
        sqlx::query!(
            "INSERT INTO stock_count (request_id, sku, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            count.request_id,
            count.sku,
            count.quantity
        ),
        sqlx::query!(
            "SELECT sku, quantity FROM stock_count WHERE request_id = $1",
            count.request_id
        )
        .map(|known| (known.sku, known.quantity)),
        &(count.sku.clone(), count.quantity),
    )
    .await;
    match inserted {
        Ok(Insert::Repeated) => return Ok(false),
        Ok(Insert::New) => {}
        Err(InsertError::Changed) => return Err(Error::CountChanged(count.request_id.clone())),
        Err(InsertError::Database(error)) => return Err(error.into()),
    }
    let mut changes = Changes::default();
    let pieces = Pieces::from([(count.sku.clone(), count.quantity)]);
    changes.add(&pieces, RECEIVED);
    move_stock(tx, &changes).await?;
    Ok(true)
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
