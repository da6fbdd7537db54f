//! Returns: inserted, decided against paid lines, summed up.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::sagas::{self, Kind};
use crate::{
    error::Error,
    model::{
        self,
        returns::{Allocation, PaidLine, RefusedLine, Return, ReturnLine, ReturnStep, Rule},
    },
};

/// Inserts a return once, with the saga that decides and pays it.
pub async fn insert(
    tx: &mut PgConnection,
    ret: &Return,
    lines: &[ReturnLine],
    deadline_ms: i64,
) -> Result<(), Error> {
    let return_id = ret.return_id;
    let inserted = sqlx::query!(
        "INSERT INTO sale_return (return_id, account_id, guest, invoice_number, returned_at, import_id, first_row_number)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        return_id,
        ret.account_id,
        ret.guest,
        ret.invoice_number,
        ret.returned_at,
        ret.import_id,
        ret.first_row_number
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(());
    }
    for line in lines {
        sqlx::query!(
            "INSERT INTO return_line (return_id, row_number, sku, quantity, unit_price_minor, charge)
             VALUES ($1, $2, $3, $4, $5, $6)",
            return_id,
            line.row_number,
            line.sku,
            line.quantity,
            line.unit_price_minor,
            line.charge
        )
        .execute(&mut *tx)
        .await?;
    }
    let account_id = &ret.account_id;
    sagas::begin(
        tx,
        return_id,
        Kind::Return,
        account_id,
        ReturnStep::Allocate,
        deadline_ms,
    )
    .await
}

/// Returns the return of that id.
pub async fn get(connection: &mut PgConnection, return_id: Uuid) -> Result<Return, Error> {
    Ok(sqlx::query_as!(
        Return,
        "SELECT return_id, account_id, guest, invoice_number, returned_at, import_id, first_row_number
         FROM sale_return WHERE return_id = $1",
        return_id
    )
    .fetch_one(connection)
    .await?)
}

/// Decides a return if it is its turn: after the end of the account's orders up to its time, and
/// after the account's earlier returns. Returns false if it has to wait.
pub async fn decide(tx: &mut PgConnection, ret: &Return) -> Result<bool, Error> {
    // Two returns of one account draw on the same lines: one at a time.
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended($1, 0)) AS "lock: ()""#,
        ret.account_id
    )
    .execute(&mut *tx)
    .await?;
    if must_wait(tx, ret).await? {
        return Ok(false);
    }
    let mut paid = paid_lines(tx, ret).await?;
    for line in lines(tx, ret.return_id).await? {
        match model::returns::decide(&line, ret.guest, &mut paid) {
            Ok(allocations) => draw(tx, ret.return_id, &allocations).await?,
            Err(rule) => refuse(tx, ret.return_id, line.row_number, rule).await?,
        }
    }
    sqlx::query!(
        "UPDATE sale_return SET decided = true WHERE return_id = $1",
        ret.return_id
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Returns the pieces by SKU that go back to stock: the accepted lines without charges.
pub async fn accepted_stock(
    pool: &PgPool,
    return_id: Uuid,
) -> Result<BTreeMap<String, i64>, Error> {
    let rows = sqlx::query!(
        r#"SELECT sku, sum(quantity)::bigint AS "quantity!" FROM return_line
           WHERE return_id = $1 AND refused_by IS NULL AND NOT charge GROUP BY sku"#,
        return_id
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sku, row.quantity))
        .collect())
}

/// Returns the minor units to refund, by order.
pub async fn refunds(pool: &PgPool, return_id: Uuid) -> Result<Vec<(Uuid, i64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT allocation.order_id, sum(allocation.quantity * line.unit_price_minor)::bigint AS "amount!"
           FROM return_allocation AS allocation JOIN order_line AS line USING (order_id, line_number)
           WHERE allocation.return_id = $1 GROUP BY allocation.order_id ORDER BY allocation.order_id"#,
        return_id
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.order_id, row.amount))
        .collect())
}

/// Returns the rows that were refused, in order.
pub async fn refused(tx: &mut PgConnection, return_id: Uuid) -> Result<Vec<RefusedLine>, Error> {
    Ok(sqlx::query_as!(
        RefusedLine,
        r#"SELECT row_number, sku, quantity, refused_by AS "rule!: Rule" FROM return_line
           WHERE return_id = $1 AND refused_by IS NOT NULL ORDER BY row_number"#,
        return_id
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the number of return invoices with an accepted row, and of accepted rows.
pub async fn count(pool: &PgPool) -> Result<(i64, i64), Error> {
    let row = sqlx::query!(
        r#"SELECT count(DISTINCT invoice_number) AS "invoices!", count(*) AS "rows!"
           FROM return_line JOIN sale_return USING (return_id) WHERE decided AND refused_by IS NULL"#
    )
    .fetch_one(pool)
    .await?;
    Ok((row.invoices, row.rows))
}

async fn must_wait(tx: &mut PgConnection, ret: &Return) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM orders WHERE account_id = $1 AND placed_at <= $2
                          AND state IN ('PENDING', 'CONFIRMED'))
               OR EXISTS (SELECT FROM sale_return WHERE account_id = $1 AND NOT decided
                          AND (returned_at, invoice_number, first_row_number) < ($2, $3, $4)) AS "wait!""#,
        ret.account_id,
        ret.returned_at,
        ret.invoice_number,
        ret.first_row_number
    )
    .fetch_one(tx)
    .await?)
}

async fn lines(tx: &mut PgConnection, return_id: Uuid) -> Result<Vec<ReturnLine>, Error> {
    Ok(sqlx::query_as!(
        ReturnLine,
        "SELECT row_number, sku, quantity, unit_price_minor, charge FROM return_line
         WHERE return_id = $1 ORDER BY row_number",
        return_id
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the account's paid lines that share SKU and price with a line of the return, newest
/// first.
async fn paid_lines(tx: &mut PgConnection, ret: &Return) -> Result<Vec<PaidLine>, Error> {
    Ok(sqlx::query_as!(
        PaidLine,
        r#"SELECT line.order_id, line.line_number, line.sku, line.unit_price_minor,
                  line.quantity - line.returned AS "remaining!"
           FROM order_line AS line JOIN orders USING (order_id)
           WHERE account_id = $1 AND state = 'PAID' AND placed_at <= $2
             AND EXISTS (SELECT FROM return_line AS back WHERE back.return_id = $3
                         AND back.sku = line.sku AND back.unit_price_minor = line.unit_price_minor)
           ORDER BY placed_at DESC, request_id DESC, line_number DESC
           FOR UPDATE OF line"#,
        ret.account_id,
        ret.returned_at,
        ret.return_id
    )
    .fetch_all(tx)
    .await?)
}

async fn draw(
    tx: &mut PgConnection,
    return_id: Uuid,
    allocations: &[Allocation],
) -> Result<(), Error> {
    for allocation in allocations {
        sqlx::query!(
            "INSERT INTO return_allocation (return_id, row_number, order_id, line_number, quantity)
             VALUES ($1, $2, $3, $4, $5)",
            return_id,
            allocation.row_number,
            allocation.order_id,
            allocation.line_number,
            allocation.quantity
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE order_line SET returned = returned + $3 WHERE order_id = $1 AND line_number = $2",
            allocation.order_id,
            allocation.line_number,
            allocation.quantity
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

async fn refuse(
    tx: &mut PgConnection,
    return_id: Uuid,
    row_number: i64,
    rule: Rule,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE return_line SET refused_by = $3 WHERE return_id = $1 AND row_number = $2",
        return_id,
        row_number,
        rule as Rule
    )
    .execute(tx)
    .await?;
    Ok(())
}
