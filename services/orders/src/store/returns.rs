//! Returns: inserted, decided against paid lines, summed up.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use ::store::columns;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        self,
        returns::{Allocation, DueLine, PaidLine, Refund, RefusedLine, Return, ReturnLine, Rule},
        saga::RETURN,
    },
};

/// Inserts returns with their lines and the sagas that decide and pay them, each once per group of
/// rows.
pub async fn insert(
    tx: &mut PgConnection,
    returns: &[(Return, Vec<ReturnLine>)],
    deadline: Duration,
) -> Result<(), Error> {
    let (ids, accounts, guests, invoices, times, imports, rows) = columns!(
        returns,
        (ret, _) => ret.return_id,
        ret.account_id.as_str(),
        ret.guest,
        ret.invoice_number.as_str(),
        ret.returned_at,
        ret.import_id.as_str(),
        ret.first_row_number,
    );
    let inserted = sqlx::query_scalar!(
        "INSERT INTO sale_return (return_id, account_id, guest, invoice_number, returned_at, import_id, first_row_number)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::text[], $5::timestamp[], $6::text[], $7::bigint[])
         ON CONFLICT DO NOTHING RETURNING return_id",
        &ids,
        &accounts as &[&str],
        &guests,
        &invoices as &[&str],
        &times,
        &imports as &[&str],
        &rows
    )
    .fetch_all(&mut *tx)
    .await?;
    let inserted: HashSet<_> = inserted.into_iter().collect();
    let new = returns
        .iter()
        .filter(|(ret, _)| inserted.contains(&ret.return_id));
    let new: Vec<_> = new.collect();
    insert_lines(tx, &new).await?;
    let subjects = new
        .iter()
        .map(|(ret, _)| (ret.return_id, ret.account_id.as_str()));
    let subjects: Vec<_> = subjects.collect();
    ::saga::begin(tx, &RETURN, &subjects, deadline).await?;
    Ok(())
}

async fn insert_lines(
    tx: &mut PgConnection,
    returns: &[&(Return, Vec<ReturnLine>)],
) -> Result<(), Error> {
    let lines = returns
        .iter()
        .flat_map(|(ret, lines)| lines.iter().map(|line| (ret.return_id, line)));
    let lines: Vec<_> = lines.collect();
    let (ids, rows, skus, quantities, prices, charges) = columns!(
        lines,
        (return_id, line) => *return_id,
        line.row_number,
        line.sku.as_str(),
        line.quantity,
        line.unit_price_minor,
        line.charge,
    );
    sqlx::query!(
        "INSERT INTO return_line (return_id, row_number, sku, quantity, unit_price_minor, charge)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[])",
        &ids,
        &rows,
        &skus as &[&str],
        &quantities,
        &prices,
        &charges
    )
    .execute(tx)
    .await?;
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
    let (mut drawn, mut accepted, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for due in lines(tx, ret).await? {
        match model::returns::decide(&due, ret.guest, &mut paid) {
            Ok(allocations) => {
                drawn.extend(allocations);
                accepted.push(due);
            }
            Err(rule) => refused.push((due.line.row_number, rule)),
        }
    }
    claim(tx, ret, &accepted).await?;
    draw(tx, ret.return_id, &drawn).await?;
    refuse(tx, ret.return_id, &refused).await?;
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

/// Returns the rows that were refused, by return and in order.
pub async fn refused(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<RefusedLine>>, Error> {
    let rows = sqlx::query!(
        r#"SELECT return_id, row_number, sku, quantity, refused_by AS "rule!: Rule" FROM return_line
           WHERE return_id = ANY($1) AND refused_by IS NOT NULL ORDER BY return_id, row_number"#,
        ids
    )
    .fetch_all(tx)
    .await?;
    let mut refused = HashMap::<_, Vec<_>>::new();
    for row in rows {
        refused.entry(row.return_id).or_default().push(RefusedLine {
            row_number: row.row_number,
            sku: row.sku,
            quantity: row.quantity,
            rule: row.rule,
        });
    }
    Ok(refused)
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

/// Returns the lines of a return, in order. Those of the account's earlier returns are decided.
async fn lines(tx: &mut PgConnection, ret: &Return) -> Result<Vec<DueLine>, Error> {
    let rows = sqlx::query!(
        r#"SELECT row_number, sku, quantity, unit_price_minor, charge, nth AS "nth!",
                  EXISTS (SELECT FROM paid_return AS paid
                          WHERE paid.account_id = $2 AND paid.invoice_number = $3 AND paid.sku = line.sku
                            AND paid.unit_price_minor = line.unit_price_minor AND paid.quantity = line.quantity
                            AND paid.nth = alike.nth) AS "is_repeated!"
           FROM return_line AS line, LATERAL (
               SELECT count(*) AS nth
               FROM sale_return JOIN return_line AS other USING (return_id)
               WHERE account_id = $2 AND invoice_number = $3 AND import_id = $4
                 AND other.sku = line.sku AND other.unit_price_minor = line.unit_price_minor
                 AND other.quantity = line.quantity
                 AND (returned_at, first_row_number, other.row_number) <= ($5, $6, line.row_number)
           ) AS alike
           WHERE return_id = $1 ORDER BY row_number"#,
        ret.return_id,
        ret.account_id,
        ret.invoice_number,
        ret.import_id,
        ret.returned_at,
        ret.first_row_number
    )
    .fetch_all(tx)
    .await?;
    let due = rows.into_iter().map(|row| DueLine {
        line: ReturnLine {
            row_number: row.row_number,
            sku: row.sku,
            quantity: row.quantity,
            unit_price_minor: row.unit_price_minor,
            charge: row.charge,
        },
        nth: row.nth,
        is_repeated: row.is_repeated,
    });
    Ok(due.collect())
}

/// Records that lines are paid back: a constraint lets each be paid once.
async fn claim(tx: &mut PgConnection, ret: &Return, accepted: &[DueLine]) -> Result<(), Error> {
    let (rows, skus, prices, quantities, places) = columns!(
        accepted,
        due => due.line.row_number,
        due.line.sku.as_str(),
        due.line.unit_price_minor,
        due.line.quantity,
        due.nth,
    );
    sqlx::query!(
        "INSERT INTO paid_return (account_id, invoice_number, return_id, row_number, sku, unit_price_minor, quantity, nth)
         SELECT $1, $2, $3, * FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])",
        ret.account_id,
        ret.invoice_number,
        ret.return_id,
        &rows,
        &skus as &[&str],
        &prices,
        &quantities,
        &places
    )
    .execute(tx)
    .await?;
    Ok(())
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
         UPDATE order_line AS line SET returned = line.returned + sums.quantity
         FROM (SELECT order_id, line_number, sum(quantity)::bigint AS quantity
               FROM drawn GROUP BY order_id, line_number) AS sums
         WHERE line.order_id = sums.order_id AND line.line_number = sums.line_number",
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
    refused: &[(i64, Rule)],
) -> Result<(), Error> {
    let (rows, rules) = columns!(refused, (row, rule) => *row, <&str>::from(*rule));
    sqlx::query!(
        "UPDATE return_line SET refused_by = refused.rule
         FROM unnest($2::bigint[], $3::text[]) AS refused (row_number, rule)
         WHERE return_id = $1 AND return_line.row_number = refused.row_number",
        return_id,
        &rows,
        &rules as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}
