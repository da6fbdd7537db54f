//! Returned pieces, in batches: recorded once per return.

use std::collections::{BTreeMap, BTreeSet};

use ::store::columns;
use sqlx::{PgConnection, PgPool};

use super::{RECEIVED, lock_free, move_stock};
use crate::{
    error::Error,
    model::{Changes, Pieces},
};

/// The result of each return of a batch, in their order.
pub(crate) type Results = Vec<Result<bool, Error>>;

/// Puts returned pieces back into stock; false for a return that was recorded before with the same
/// lines.
pub async fn take_back(pool: &PgPool, asked: &[(String, Pieces)]) -> Result<Results, Error> {
    let mut tx = pool.begin().await?;
    let stock = lock_free(&mut tx, asked.iter().flat_map(|(_, lines)| lines.keys())).await?;
    let uncounted = |lines: &Pieces| lines.keys().find(|sku| !stock.contains_key(*sku)).cloned();
    let countable = asked.iter().filter(|(_, lines)| uncounted(lines).is_none());
    let opened = open(&mut tx, countable.map(|(id, _)| id.as_str()).collect()).await?;
    let mut known = recorded(&mut tx, asked, &opened).await?;
    let mut changes = Changes::default();
    let mut new = Vec::new();
    let mut results = Vec::with_capacity(asked.len());
    for (id, lines) in asked {
        results.push(match (known.get(id), uncounted(lines)) {
            (Some(known), _) if known == lines => Ok(false),
            (Some(_), _) => Err(Error::ReturnChanged(id.clone())),
            (None, Some(sku)) => Err(Error::UnknownSku(sku)),
            (None, None) => {
                known.insert(id.clone(), lines.clone());
                changes.add(lines, RECEIVED);
                new.push((id, lines));
                Ok(true)
            }
        });
    }
    insert_lines(&mut tx, &new).await?;
    move_stock(&mut tx, &changes).await?;
    chassis::crash::point("inventory.return.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.return.after_commit");
    Ok(results)
}

/// Claims ids; returns those that were not in use.
async fn open(tx: &mut PgConnection, ids: BTreeSet<&str>) -> Result<BTreeSet<String>, Error> {
    let ids: Vec<_> = ids.into_iter().collect();
    let opened = sqlx::query_scalar!(
        "INSERT INTO stock_return (return_id) SELECT id FROM unnest($1::text[]) AS new (id) ORDER BY id
         ON CONFLICT DO NOTHING RETURNING return_id",
        &ids as &[&str]
    )
    .fetch_all(tx)
    .await?;
    Ok(opened.into_iter().collect())
}

async fn insert_lines(tx: &mut PgConnection, new: &[(&String, &Pieces)]) -> Result<(), Error> {
    let lines: Vec<_> = new
        .iter()
        .flat_map(|(id, lines)| lines.iter().map(move |line| (id, line)))
        .collect();
    let (ids, skus, quantities) = columns!(
        lines,
        (id, (sku, quantity)) => id.as_str(),
        sku.as_str(),
        **quantity,
    );
    sqlx::query!(
        "INSERT INTO stock_return_line (return_id, sku, quantity)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])",
        &ids as &[&str],
        &skus as &[&str],
        &quantities
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the lines of the returns that were recorded before this batch.
async fn recorded(
    tx: &mut PgConnection,
    asked: &[(String, Pieces)],
    opened: &BTreeSet<String>,
) -> Result<BTreeMap<String, Pieces>, Error> {
    let ids = asked.iter().map(|(id, _)| id);
    let ids: Vec<_> = ids
        .filter(|id| !opened.contains(*id))
        .map(String::as_str)
        .collect();
    let rows = sqlx::query!(
        "SELECT return_id, sku, quantity FROM stock_return_line WHERE return_id = ANY($1)",
        &ids as &[&str]
    )
    .fetch_all(tx)
    .await?;
    let mut known = BTreeMap::<String, Pieces>::new();
    for row in rows {
        known
            .entry(row.return_id)
            .or_default()
            .insert(row.sku, row.quantity);
    }
    Ok(known)
}
