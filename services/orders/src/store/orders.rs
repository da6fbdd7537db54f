//! Orders: placed, read, cancelled, and the imports that wait for their end.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ::store::{Insert, InsertError, columns, idempotent};
use chrono::NaiveDateTime;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{self, Delivery, Line, NewOrder, Order, Paid, RowGroup, State, saga::ORDER},
};

struct OrderRow {
    order_id: Uuid,
    request_id: String,
    account_id: String,
    state: State,
    reason: Option<String>,
    placed_at: NaiveDateTime,
    currency_code: String,
    total_minor: i64,
    cancel_requested: bool,
    delivery: Option<Delivery>,
    version: i64,
    number: i64,
}

/// Places an order with its saga, once per `request_id`; returns its id, whether new or known.
pub async fn place(
    tx: &mut PgConnection,
    order: &NewOrder,
    deadline: Duration,
) -> Result<Uuid, Error> {
    let order_id = model::order_id(&order.request_id);
    let fingerprint = order.fingerprint().to_vec();
    let total = order.total_minor().ok_or(Error::TotalOverflow)?;
    let inserted = idempotent(
        &mut *tx,
        sqlx::query!(
            "INSERT INTO orders (order_id, request_id, account_id, state, placed_at, currency_code, total_minor, fingerprint)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            order_id,
            order.request_id,
            order.account_id,
            State::Pending as State,
            order.placed_at,
            order.currency_code,
            total,
            &fingerprint
        ),
        sqlx::query!("SELECT fingerprint FROM orders WHERE order_id = $1", order_id)
            .map(|known| known.fingerprint),
        &fingerprint,
    )
    .await;
    match inserted {
        Ok(Insert::Repeated) => return Ok(order_id),
        Ok(Insert::New) => {}
        Err(InsertError::Changed) => return Err(Error::OrderChanged(order.request_id.clone())),
        Err(InsertError::Database(error)) => return Err(error.into()),
    }
    insert_lines(tx, order_id, &order.lines).await?;
    let subjects = [(order_id, order.account_id.as_str())];
    ::saga::begin(tx, &ORDER, &subjects, deadline).await?;
    Ok(order_id)
}

/// Returns the order with its lines.
pub async fn get(pool: &PgPool, order_id: Uuid) -> Result<Order, Error> {
    get_all(pool, &[order_id])
        .await?
        .remove(&order_id)
        .ok_or(Error::UnknownOrder(order_id))
}

/// Returns orders with their lines, by id.
pub async fn get_all(pool: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, Order>, Error> {
    let mut connection = pool.acquire().await?;
    let rows = sqlx::query_as!(
        OrderRow,
        r#"SELECT order_id, request_id, account_id, state AS "state: State", reason, placed_at, currency_code,
                  total_minor, cancel_requested, delivery AS "delivery: Delivery", version, number
           FROM orders WHERE order_id = ANY($1)"#,
        ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let by_id = |row: OrderRow| (row.order_id, Order::from(row));
    let mut orders: HashMap<_, _> = rows.into_iter().map(by_id).collect();
    let lines = sqlx::query!(
        "SELECT order_id, sku, description, quantity, unit_price_minor, charge FROM order_line
         WHERE order_id = ANY($1) ORDER BY order_id, line_number",
        ids
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in lines {
        if let Some(order) = orders.get_mut(&row.order_id) {
            order.lines.push(Line {
                sku: row.sku,
                description: row.description,
                quantity: row.quantity,
                unit_price_minor: row.unit_price_minor,
                charge: row.charge,
            });
        }
    }
    Ok(orders)
}

/// Returns the order with its lines if its version is not `version`.
pub async fn changed(pool: &PgPool, order_id: Uuid, version: i64) -> Result<Option<Order>, Error> {
    let latest = sqlx::query_scalar!("SELECT version FROM orders WHERE order_id = $1", order_id)
        .fetch_one(pool)
        .await?;
    if latest == version {
        Ok(None)
    } else {
        get(pool, order_id).await.map(Some)
    }
}

/// Returns up to `limit` orders that arrived before number `before`, newest first, without their
/// lines.
pub async fn list(
    pool: &PgPool,
    account_id: Option<&str>,
    state: Option<State>,
    before: i64,
    limit: i64,
) -> Result<Vec<Order>, Error> {
    let rows = sqlx::query_as!(
        OrderRow,
        r#"SELECT order_id, request_id, account_id, state AS "state: State", reason, placed_at, currency_code,
                  total_minor, cancel_requested, delivery AS "delivery: Delivery", version, number
           FROM orders
           WHERE number < $1 AND ($2::text IS NULL OR account_id = $2) AND ($3::text IS NULL OR state = $3)
           ORDER BY number DESC LIMIT $4"#,
        before,
        account_id,
        state as Option<State>,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Order::from).collect())
}

/// Requests the cancellation of an order; an error once it is confirmed.
pub async fn request_cancel(pool: &PgPool, order_id: Uuid) -> Result<(), Error> {
    let changed = sqlx::query!(
        "UPDATE orders SET cancel_requested = true, version = version + 1
         WHERE order_id = $1 AND state = 'PENDING' AND NOT cancel_requested",
        order_id
    )
    .execute(pool)
    .await?;
    if changed.rows_affected() == 1 {
        return Ok(());
    }
    let order = get(pool, order_id).await?;
    if order.cancel_requested {
        Ok(())
    } else {
        Err(Error::TooLateToCancel(order_id, order.state))
    }
}

/// Locks orders until the transaction ends; returns those that the caller asked to cancel.
pub async fn lock_cancelled(tx: &mut PgConnection, ids: &[Uuid]) -> Result<HashSet<Uuid>, Error> {
    let rows = sqlx::query!(
        "SELECT order_id, cancel_requested FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE",
        ids
    )
    .fetch_all(tx)
    .await?;
    let cancelled = rows.into_iter().filter(|row| row.cancel_requested);
    Ok(cancelled.map(|row| row.order_id).collect())
}

/// Moves orders to other states, each with its reason.
pub async fn set_states(
    tx: &mut PgConnection,
    changes: &[(Uuid, State, Option<&str>)],
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let (ids, states, reasons) =
        columns!(changes, (id, state, reason) => *id, <&str>::from(state), *reason);
    sqlx::query!(
        "UPDATE orders SET state = new.state, reason = new.reason, version = version + 1
         FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (order_id, state, reason)
         WHERE orders.order_id = new.order_id",
        &ids,
        &states as &[&str],
        &reasons as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Sets the delivery of paid orders that have goods; returns all of them.
pub async fn set_deliveries(
    tx: &mut PgConnection,
    ids: &[Uuid],
    delivery: Delivery,
) -> Result<Vec<Paid>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_as!(
        Paid,
        r#"UPDATE orders SET delivery = CASE WHEN pieces > 0 THEN $2 END
           FROM (SELECT order_id, coalesce(sum(quantity) FILTER (WHERE NOT charge), 0)::bigint AS pieces
                 FROM order_line WHERE order_id = ANY($1) GROUP BY order_id) AS goods
           WHERE orders.order_id = goods.order_id
           RETURNING orders.order_id, account_id, pieces AS "pieces!", total_minor, placed_at"#,
        ids,
        delivery as Delivery
    )
    .fetch_all(tx)
    .await?)
}

/// Records the end of those deliveries that are pending; returns the orders' accounts.
pub async fn end_deliveries(
    tx: &mut PgConnection,
    ids: &[Uuid],
    end: Delivery,
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "UPDATE orders SET delivery = $2, version = version + 1
         WHERE order_id = ANY($1) AND delivery = 'PENDING' RETURNING account_id",
        ids,
        end as Delivery
    )
    .fetch_all(tx)
    .await?)
}

/// Registers a group of imported rows for the order's end; returns that end and its reason if the
/// order is at its end.
pub async fn wait_for_end(
    tx: &mut PgConnection,
    order_id: Uuid,
    group: &RowGroup,
) -> Result<Option<(State, Option<String>)>, Error> {
    let row = sqlx::query!(
        r#"SELECT state AS "state: State", reason FROM orders WHERE order_id = $1 FOR UPDATE"#,
        order_id
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO order_import (order_id, import_id, first_row_number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        order_id,
        group.import_id,
        group.first_row_number
    )
    .execute(tx)
    .await?;
    Ok(row.state.is_end().then_some((row.state, row.reason)))
}

/// Returns the groups of imported rows that wait for the orders' ends, by order.
pub async fn waiting(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<RowGroup>>, Error> {
    let rows = sqlx::query!(
        "SELECT order_id, import_id, first_row_number FROM order_import WHERE order_id = ANY($1)",
        ids
    )
    .fetch_all(tx)
    .await?;
    let mut waiting = HashMap::<_, Vec<_>>::new();
    for row in rows {
        waiting.entry(row.order_id).or_default().push(RowGroup {
            import_id: row.import_id,
            first_row_number: row.first_row_number,
        });
    }
    Ok(waiting)
}

/// Returns the number of orders by state.
pub async fn count(pool: &PgPool) -> Result<Vec<(State, i64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT state AS "state: State", count(*) AS "orders!" FROM orders GROUP BY state ORDER BY state"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.state, row.orders))
        .collect())
}

async fn insert_lines(tx: &mut PgConnection, order_id: Uuid, lines: &[Line]) -> Result<(), Error> {
    let (skus, descriptions, quantities, prices, charges) = columns!(
        lines,
        line => line.sku.clone(),
        line.description.clone(),
        line.quantity,
        line.unit_price_minor,
        line.charge,
    );
    sqlx::query!(
        "INSERT INTO order_line (order_id, line_number, sku, description, quantity, unit_price_minor, charge)
         SELECT $1, line_number, sku, description, quantity, price, charge
         FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[])
              WITH ORDINALITY AS line (sku, description, quantity, price, charge, line_number)",
        order_id,
        &skus,
        &descriptions,
        &quantities,
        &prices,
        &charges
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            order_id: row.order_id,
            request_id: row.request_id,
            account_id: row.account_id,
            state: row.state,
            reason: row.reason,
            placed_at: row.placed_at,
            currency_code: row.currency_code,
            total_minor: row.total_minor,
            cancel_requested: row.cancel_requested,
            delivery: row.delivery,
            version: row.version,
            number: row.number,
            lines: Vec::new(),
        }
    }
}
