//! The database of the service.

use protomesh::sqlx::{self, PgConnection, PgPool, Row, postgres::PgRow};
use protomesh::store::{Insert, InsertError, fault, idempotent};
use protomesh::{Fault, events};

use crate::protos::{{name}}::v1::{Item, ItemCreated, WatchTotalsResponse};

/// Inserts an item and, in the same transaction, the event that says so; a repeated one changes
/// nothing.
pub async fn create(pool: &PgPool, item: &Item) -> Result<(), Fault> {
    let mut tx = pool.begin().await.map_err(fault)?;
    let insert = sqlx::query("INSERT INTO item VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(&item.item_id)
        .bind(&item.title)
        .bind(item.quantity);
    let select = sqlx::query("SELECT * FROM item WHERE item_id = $1").bind(&item.item_id);
    match idempotent(&mut tx, insert, select.try_map(read), item).await {
        Ok(Insert::New) => {
            let Item { item_id, quantity, .. } = item.clone();
            events::publish(&mut tx, &ItemCreated { item_id, quantity }).await?;
        }
        Ok(Insert::Repeated) => {}
        Err(InsertError::Changed) => {
            let message = "the item_id was used for an item with other content";
            return Err(Fault::already_exists("ITEM_CHANGED", message));
        }
        Err(InsertError::Database(error)) => return Err(fault(error)),
    }
    tx.commit().await.map_err(fault)
}

/// Returns an item.
pub async fn item(pool: &PgPool, item_id: &str) -> Result<Item, Fault> {
    let select = sqlx::query("SELECT * FROM item WHERE item_id = $1").bind(item_id);
    let item = select.try_map(read).fetch_optional(pool).await.map_err(fault)?;
    item.ok_or_else(|| Fault::not_found("ITEM_NOT_FOUND", format!("no item {item_id}")))
}

/// Counts an item, in the transaction that records its event as applied.
pub async fn count(tx: &mut PgConnection, quantity: i64) -> Result<(), sqlx::Error> {
    let update = "UPDATE totals SET items = items + 1, pieces = pieces + $1";
    sqlx::query(update).bind(quantity).execute(tx).await.map(drop)
}

/// Returns the totals.
pub async fn totals(pool: &PgPool) -> Result<WatchTotalsResponse, Fault> {
    let select = sqlx::query_as("SELECT items, pieces FROM totals");
    let (items, pieces) = select.fetch_one(pool).await.map_err(fault)?;
    Ok(WatchTotalsResponse { items, pieces })
}

fn read(row: PgRow) -> Result<Item, sqlx::Error> {
    let (item_id, title) = (row.try_get("item_id")?, row.try_get("title")?);
    Ok(Item { item_id, title, quantity: row.try_get("quantity")? })
}
