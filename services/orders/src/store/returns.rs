//! Returns: inserted, decided against paid lines, summed up.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ::store::columns;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        self,
        returns::{Allocation, PaidLine, Refund, RefusedLine, Return, ReturnLine, Rule},
        saga::RETURN,
    },
};

/// Inserts a return once, with the saga that decides and pays it.
pub async fn insert(
    tx: &mut PgConnection,
    ret: &Return,
    lines: &[ReturnLine],
    deadline: Duration,
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
    let (rows, skus, quantities, prices, charges) = columns!(
        lines,
        line => line.row_number,
        line.sku.as_str(),
        line.quantity,
        line.unit_price_minor,
        line.charge,
    );
    sqlx::query!(
        "INSERT INTO return_line (return_id, row_number, sku, quantity, unit_price_minor, charge)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[])",
        return_id,
        &rows,
        &skus as &[&str],
        &quantities,
        &prices,
        &charges
    )
    .execute(&mut *tx)
    .await?;
    let subjects = [(return_id, ret.account_id.as_str())];
    ::saga::begin(tx, &RETURN, &subjects, deadline).await?;
    Ok(())
}

/// Returns returns by id.
pub async fn get_all(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Return>, Error> {
    let rows = sqlx::query_as!(
        Return,
        "SELECT return_id, account_id, guest, invoice_number, returned_at, import_id, first_row_number
         FROM sale_return WHERE return_id = ANY($1)",
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|ret| (ret.return_id, ret)).collect())
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

/// Returns by return the pieces by SKU that go back to stock: the accepted lines without charges.
pub async fn accepted_stock(
    pool: &PgPool,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, BTreeMap<String, i64>>, Error> {
    let rows = sqlx::query!(
        r#"SELECT return_id, sku, sum(quantity)::bigint AS "quantity!" FROM return_line
           WHERE return_id = ANY($1) AND refused_by IS NULL AND NOT charge GROUP BY return_id, sku"#,
        ids
    )
    .fetch_all(pool)
    .await?;
    let mut pieces = HashMap::<_, BTreeMap<_, _>>::new();
    for row in rows {
        pieces
            .entry(row.return_id)
            .or_default()
            .insert(row.sku, row.quantity);
    }
    Ok(pieces)
}

/// Returns the amounts to refund, by return and order.
pub async fn refunds(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Refund>, Error> {
    Ok(sqlx::query_as!(
        Refund,
        r#"SELECT allocation.return_id, allocation.order_id,
                  sum(allocation.quantity * line.unit_price_minor)::bigint AS "amount_minor!"
           FROM return_allocation AS allocation JOIN order_line AS line USING (order_id, line_number)
           WHERE allocation.return_id = ANY($1) GROUP BY allocation.return_id, allocation.order_id
           ORDER BY allocation.return_id, allocation.order_id"#,
        ids
    )
    .fetch_all(connection)
    .await?)
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
                          AND (state IN ('PENDING', 'CONFIRMED') OR delivery = 'PENDING'))
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
             AND delivery IS DISTINCT FROM 'FAILED'
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
    let (rows, orders, lines, quantities) = columns!(
        allocations,
        allocation => allocation.row_number,
        allocation.order_id,
        allocation.line_number,
        allocation.quantity,
    );
    sqlx::query!(
        "WITH drawn AS (
             INSERT INTO return_allocation (return_id, row_number, order_id, line_number, quantity)
             SELECT $1, * FROM unnest($2::bigint[], $3::uuid[], $4::integer[], $5::bigint[])
             RETURNING order_id, line_number, quantity
         )
         UPDATE order_line AS line SET returned = line.returned + drawn.quantity
         FROM drawn WHERE line.order_id = drawn.order_id AND line.line_number = drawn.line_number",
        return_id,
        &rows,
        &orders,
        &lines,
        &quantities
    )
    .execute(tx)
    .await?;
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
