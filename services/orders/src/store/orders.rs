//! Orders: placed, read, cancelled, and the imports that wait for their end.

use std::collections::{HashMap, HashSet};

use ::store::columns;
use chrono::NaiveDateTime;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{Delivery, Line, Order, Paid, RowGroup, State, history::OrderEvent},
    store::history,
};

mod place;

pub use place::{Placed, place};

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

/// Returns the order with its lines.
pub async fn get(pool: &PgPool, order_id: Uuid) -> Result<Order, Error> {
    get_all(pool, &[order_id])
        .await?
        .remove(&order_id)
        .ok_or(Error::UnknownOrder(order_id))
}

/// Returns orders without their lines, by id.
pub async fn heads(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Order>, Error> {
    let rows = sqlx::query_as!(
        OrderRow,
        r#"SELECT order_id, request_id, account_id, state AS "state: State", reason, placed_at, currency_code,
                  total_minor, cancel_requested, delivery AS "delivery: Delivery", version, number
           FROM orders WHERE order_id = ANY($1)"#,
        ids
    )
    .fetch_all(connection)
    .await?;
    let by_id = |row: OrderRow| (row.order_id, Order::from(row));
    Ok(rows.into_iter().map(by_id).collect())
}

/// Returns orders with their lines, by id.
pub async fn get_all(pool: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, Order>, Error> {
    let mut connection = pool.acquire().await?;
    let mut orders = heads(&mut connection, ids).await?;
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
    let mut tx = pool.begin().await?;
    let changed = sqlx::query_scalar!(
        "UPDATE orders SET cancel_requested = true, version = version + 1
         WHERE order_id = $1 AND state = 'PENDING' AND NOT cancel_requested RETURNING version",
        order_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(version) = changed {
        history::record(&mut tx, [(order_id, version, OrderEvent::CancelRequested)]).await?;
        tx.commit().await?;
        return Ok(());
    }
    drop(tx);
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
    let rows = sqlx::query!(
        r#"UPDATE orders SET state = new.state, reason = new.reason, version = version + 1
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (order_id, state, reason)
           WHERE orders.order_id = new.order_id
           RETURNING orders.order_id, orders.version, orders.state AS "state: State", orders.reason"#,
        &ids,
        &states as &[&str],
        &reasons as &[Option<&str>]
    )
    .fetch_all(&mut *tx)
    .await?;
    let changed = rows.into_iter().map(|row| {
        let (state, reason) = (row.state, row.reason);
        let event = OrderEvent::StateChanged { state, reason };
        (row.order_id, row.version, event)
    });
    history::record(tx, changed).await
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
    let rows = sqlx::query!(
        r#"UPDATE orders SET delivery = CASE WHEN pieces > 0 THEN $2 END, version = version + (pieces > 0)::integer
           FROM (SELECT order_id, coalesce(sum(quantity) FILTER (WHERE NOT charge), 0)::bigint AS pieces
                 FROM order_line WHERE order_id = ANY($1) GROUP BY order_id) AS goods
           WHERE orders.order_id = goods.order_id
           RETURNING orders.order_id, account_id, pieces AS "pieces!", total_minor, placed_at, version"#,
        ids,
        delivery as Delivery
    )
    .fetch_all(&mut *tx)
    .await?;
    let with_goods = rows.iter().filter(|row| row.pieces > 0);
    let changed = with_goods.map(|row| (row.order_id, row.version));
    record_deliveries(tx, changed, delivery).await?;
    let paid = rows.into_iter().map(|row| Paid {
        order_id: row.order_id,
        account_id: row.account_id,
        pieces: row.pieces,
        total_minor: row.total_minor,
        placed_at: row.placed_at,
    });
    Ok(paid.collect())
}

/// Records the end of those deliveries that are pending; returns the orders' accounts.
pub async fn end_deliveries(
    tx: &mut PgConnection,
    ids: &[Uuid],
    end: Delivery,
) -> Result<Vec<String>, Error> {
    let rows = sqlx::query!(
        "UPDATE orders SET delivery = $2, version = version + 1
         WHERE order_id = ANY($1) AND delivery = 'PENDING' RETURNING order_id, version, account_id",
        ids,
        end as Delivery
    )
    .fetch_all(&mut *tx)
    .await?;
    let changed = rows.iter().map(|row| (row.order_id, row.version));
    record_deliveries(tx, changed, end).await?;
    Ok(rows.into_iter().map(|row| row.account_id).collect())
}

async fn record_deliveries(
    tx: &mut PgConnection,
    orders: impl Iterator<Item = (Uuid, i64)>,
    delivery: Delivery,
) -> Result<(), Error> {
    let changed = orders.map(|(order_id, version)| {
        let event = OrderEvent::DeliveryChanged { delivery };
        (order_id, version, event)
    });
    history::record(tx, changed).await
}

/// Registers groups of imported rows for the ends of orders; returns the ends that have come, with
/// their reasons.
pub async fn wait_for_ends(
    tx: &mut PgConnection,
    waiting: &[(Placed, RowGroup)],
) -> Result<HashMap<Uuid, (State, Option<String>)>, Error> {
    // A new order has no end before this transaction has one.
    let known = waiting.iter().filter(|(placed, _)| !placed.is_new);
    let known: Vec<_> = known.map(|(placed, _)| placed.order_id).collect();
    let mut ends = HashMap::new();
    if !known.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT order_id, state AS "state: State", reason FROM orders
               WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE"#,
            &known
        )
        .fetch_all(&mut *tx)
        .await?;
        let ended = rows.into_iter().filter(|row| row.state.is_end());
        ends.extend(ended.map(|row| (row.order_id, (row.state, row.reason))));
    }
    let (orders, imports, rows) = columns!(
        waiting,
        (placed, group) => placed.order_id,
        group.import_id.as_str(),
        group.first_row_number,
    );
    sqlx::query!(
        "INSERT INTO order_import (order_id, import_id, first_row_number)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING",
        &orders,
        &imports as &[&str],
        &rows
    )
    .execute(tx)
    .await?;
    Ok(ends)
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
