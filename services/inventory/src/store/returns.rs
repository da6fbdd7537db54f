//! Returned pieces: recorded once per return.

use ::store::columns;
use sqlx::{PgConnection, PgPool};

use super::{lock_free, move_stock};
use crate::{error::Error, model::Pieces};

/// Puts returned pieces back into stock; returns false if the return was recorded before with the
/// same lines.
pub async fn take_back(pool: &PgPool, return_id: &str, lines: Pieces) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    let inserted = sqlx::query!(
        "INSERT INTO stock_return (return_id) VALUES ($1) ON CONFLICT DO NOTHING",
        return_id
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return if returned(&mut tx, return_id).await? == lines {
            Ok(false)
        } else {
            Err(Error::ReturnChanged(return_id.to_owned()))
        };
    }
    let known = lock_free(&mut tx, &lines).await?;
    if let Some(sku) = lines.keys().find(|sku| !known.contains_key(*sku)) {
        return Err(Error::UnknownSku(sku.clone()));
    }
    let (skus, quantities) = columns!(lines, (sku, quantity) => sku.clone(), *quantity);
    sqlx::query!(
        "INSERT INTO stock_return_line (return_id, sku, quantity)
         SELECT $1, sku, quantity FROM unnest($2::text[], $3::bigint[]) AS line (sku, quantity)",
        return_id,
        &skus,
        &quantities
    )
    .execute(&mut *tx)
    .await?;
    move_stock(&mut tx, &lines, 1, 0).await?;
    chassis::crash::point("inventory.return.before_commit");
    tx.commit().await?;
    chassis::crash::point("inventory.return.after_commit");
    Ok(true)
}

async fn returned(tx: &mut PgConnection, return_id: &str) -> Result<Pieces, Error> {
    let rows = sqlx::query!(
        "SELECT sku, quantity FROM stock_return_line WHERE return_id = $1",
        return_id
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sku, row.quantity))
        .collect())
}
