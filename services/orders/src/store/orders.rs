//! Orders: placed, read, cancelled, and the imports that wait for their end.

use chrono::NaiveDateTime;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::sagas;
use crate::{
    error::Error,
    model::{self, Line, NewOrder, State, saga::Step},
};

/// An order as it stands. Lists leave `lines` empty.
#[derive(Clone, Debug)]
pub struct Order {
    /// Id of the order.
    pub order_id: Uuid,
    /// The caller's idempotency key.
    pub request_id: String,
    /// Customer or guest account.
    pub account_id: String,
    /// Where it stands.
    pub state: State,
    /// Why it was given up, or empty.
    pub reason: String,
    /// Local civil time.
    pub placed_at: NaiveDateTime,
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units.
    pub total_minor: i64,
    /// The caller asked for it to be given up.
    pub cancel_requested: bool,
    /// Grows with every change.
    pub version: i64,
    /// Order of arrival; lists page by it.
    pub number: i64,
    /// What was ordered.
    pub lines: Vec<Line>,
}

/// A group of imported rows that waits for an order's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The import.
    pub import_id: String,
    /// Number of its first row: the id of the group within the import.
    pub first_row_number: i64,
}

struct Row {
    order_id: Uuid,
    request_id: String,
    account_id: String,
    state: String,
    reason: String,
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
    let fingerprint = order.fingerprint();
    let total = order.total_minor().ok_or(Error::TotalOverflow)?;
    let inserted = sqlx::query!(
        "INSERT INTO orders (order_id, request_id, account_id, state, placed_at, currency_code, total_minor, fingerprint)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        order_id,
        order.request_id,
        order.account_id,
        State::Pending.name(),
        order.placed_at,
        order.currency_code,
        total,
        &fingerprint[..]
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 1 {
        insert_lines(tx, order_id, &order.lines).await?;
        sagas::begin(
            tx,
            order_id,
            sagas::Kind::Order,
            &order.account_id,
            Step::Reserve.name(),
            deadline_ms,
        )
        .await?;
        return Ok(order_id);
    }
    let known = sqlx::query_scalar!(
        "SELECT fingerprint FROM orders WHERE order_id = $1",
        order_id
    )
    .fetch_one(tx)
    .await?;
    if known == fingerprint {
        Ok(order_id)
    } else {
        Err(Error::InvoiceChanged(order.request_id.clone()))
    }
}

/// Returns the order with its lines.
pub async fn get(pool: &PgPool, order_id: Uuid) -> Result<Order, Error> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query_as!(
        Row,
        "SELECT order_id, request_id, account_id, state, reason, placed_at, currency_code, total_minor,
                cancel_requested, version, number
         FROM orders WHERE order_id = $1",
        order_id
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(Error::UnknownOrder(order_id))?;
    Ok(Order {
        lines: lines(&mut connection, order_id).await?,
        ..row.try_into()?
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
    sqlx::query_as!(
        Row,
        "SELECT order_id, request_id, account_id, state, reason, placed_at, currency_code, total_minor,
                cancel_requested, version, number
         FROM orders
         WHERE number < $1 AND ($2::text IS NULL OR account_id = $2) AND ($3::text IS NULL OR state = $3)
         ORDER BY number DESC LIMIT $4",
        before,
        account_id,
        state.map(State::name),
        limit
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(Order::try_from)
    .collect()
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
    reason: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE orders SET state = $2, reason = $3, version = version + 1 WHERE order_id = $1",
        order_id,
        state.name(),
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
    waiting: &Waiting,
) -> Result<Option<(State, String)>, Error> {
    let row = sqlx::query!(
        "SELECT state, reason FROM orders WHERE order_id = $1 FOR UPDATE",
        order_id
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO order_import (order_id, import_id, first_row_number) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        order_id,
        waiting.import_id,
        waiting.first_row_number
    )
    .execute(tx)
    .await?;
    let state = State::named(&row.state).ok_or(Error::Corrupt("orders.state"))?;
    Ok(state.is_end().then_some((state, row.reason)))
}

/// Returns the groups of imported rows that wait for the order's end.
pub async fn waiting(tx: &mut PgConnection, order_id: Uuid) -> Result<Vec<Waiting>, Error> {
    Ok(sqlx::query_as!(
        Waiting,
        "SELECT import_id, first_row_number FROM order_import WHERE order_id = $1",
        order_id
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the number of orders by state.
pub async fn count(pool: &PgPool) -> Result<Vec<(State, i64)>, Error> {
    sqlx::query!(r#"SELECT state, count(*) AS "orders!" FROM orders GROUP BY state ORDER BY state"#)
        .fetch_all(pool)
        .await?
        .into_iter()
        .map(|row| {
            Ok((
                State::named(&row.state).ok_or(Error::Corrupt("orders.state"))?,
                row.orders,
            ))
        })
        .collect()
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
    let skus: Vec<_> = lines.iter().map(|line| line.sku.clone()).collect();
    let descriptions: Vec<_> = lines.iter().map(|line| line.description.clone()).collect();
    let quantities: Vec<_> = lines.iter().map(|line| line.quantity).collect();
    let prices: Vec<_> = lines.iter().map(|line| line.unit_price_minor).collect();
    let charges: Vec<_> = lines.iter().map(|line| line.charge).collect();
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

impl TryFrom<Row> for Order {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            order_id: row.order_id,
            request_id: row.request_id,
            account_id: row.account_id,
            state: State::named(&row.state).ok_or(Error::Corrupt("orders.state"))?,
            reason: row.reason,
            placed_at: row.placed_at,
            currency_code: row.currency_code,
            total_minor: row.total_minor,
            cancel_requested: row.cancel_requested,
            version: row.version,
            number: row.number,
            lines: Vec::new(),
        })
    }
}
