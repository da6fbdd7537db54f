//! Orders: placed, read, cancelled, and the imports that wait for their end.

use ::store::{Insert, InsertError, columns, idempotent};
use chrono::NaiveDateTime;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::sagas::{self, Kind};
use crate::{
    error::Error,
    model::{self, Line, NewOrder, Order, RowGroup, State, saga::Step},
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
    version: i64,
    number: i64,
}

/// Places an order with its saga, once per `request_id`; returns its id, whether new or known.
pub async fn place(
    tx: &mut PgConnection,
    order: &NewOrder,
    deadline_ms: i64,
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
    let account_id = &order.account_id;
    sagas::begin(
        tx,
        order_id,
        Kind::Order,
        account_id,
        Step::Reserve,
        deadline_ms,
    )
    .await?;
    Ok(order_id)
}

/// Returns the order with its lines.
pub async fn get(pool: &PgPool, order_id: Uuid) -> Result<Order, Error> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query_as!(
        OrderRow,
        r#"SELECT order_id, request_id, account_id, state AS "state: State", reason, placed_at, currency_code,
                  total_minor, cancel_requested, version, number
           FROM orders WHERE order_id = $1"#,
        order_id
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Error::UnknownOrder(order_id))?;
    Ok(Order {
        lines: lines(&mut connection, order_id).await?,
        ..row.into()
    })
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
                  total_minor, cancel_requested, version, number
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

/// Locks the order until the transaction ends; returns whether the caller asked to cancel it.
pub async fn lock_cancel_requested(tx: &mut PgConnection, order_id: Uuid) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT cancel_requested FROM orders WHERE order_id = $1 FOR UPDATE",
        order_id
    )
    .fetch_one(tx)
    .await?)
}

/// Moves the order to another state.
pub async fn set_state(
    tx: &mut PgConnection,
    order_id: Uuid,
    state: State,
    reason: Option<&str>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE orders SET state = $2, reason = $3, version = version + 1 WHERE order_id = $1",
        order_id,
        state as State,
        reason
    )
    .execute(tx)
    .await?;
    Ok(())
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

/// Returns the groups of imported rows that wait for the order's end.
pub async fn waiting(tx: &mut PgConnection, order_id: Uuid) -> Result<Vec<RowGroup>, Error> {
    Ok(sqlx::query_as!(
        RowGroup,
        "SELECT import_id, first_row_number FROM order_import WHERE order_id = $1",
        order_id
    )
    .fetch_all(tx)
    .await?)
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

/// Returns the lines of an order, in order.
pub async fn lines(connection: &mut PgConnection, order_id: Uuid) -> Result<Vec<Line>, Error> {
    Ok(sqlx::query_as!(
        Line,
        "SELECT sku, description, quantity, unit_price_minor, charge FROM order_line
         WHERE order_id = $1 ORDER BY line_number",
        order_id
    )
    .fetch_all(connection)
    .await?)
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
            version: row.version,
            number: row.number,
            lines: Vec::new(),
        }
    }
}
