//! The changes of orders: recorded with them, and the history that follows.

use ::store::columns;
use eventsourcing::{Entry, Projection, Stored};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        Delivery, State,
        history::{Change, HistoryEntry, ORDER, OrderEvent},
    },
};

/// The projection of the table `order_history`.
#[derive(Clone, Copy, Debug)]
pub struct OrderHistory;

impl Projection for OrderHistory {
    const NAME: &'static str = "order_history";
    const VERSION: i32 = 1;
    const AGGREGATES: &'static [&'static str] = &[ORDER];

    async fn apply(
        &self,
        tx: &mut PgConnection,
        generation: i32,
        events: &[Stored],
    ) -> Result<(), eventsourcing::Error> {
        let mut rows = Vec::with_capacity(events.len());
        for stored in events {
            let entry = HistoryEntry::of(stored.decode()?, stored.version, stored.recorded_at);
            rows.push((&*stored.id, entry));
        }
        let (orders, versions, changes, states, reasons, deliveries, times) = columns!(
            rows,
            (order, row) => *order,
            row.version,
            <&str>::from(row.change),
            <&str>::from(row.state),
            row.reason.as_deref(),
            row.delivery.map(<&str>::from),
            row.recorded_at,
        );
        sqlx::query!(
            "INSERT INTO order_history (generation, order_id, version, change, state, reason, delivery, recorded_at)
             SELECT $1, order_id::uuid, version, change, state, reason, delivery, recorded_at
             FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
                  AS row (order_id, version, change, state, reason, delivery, recorded_at)",
            generation,
            &orders as &[&str],
            &versions,
            &changes as &[&str],
            &states as &[&str],
            &reasons as &[Option<&str>],
            &deliveries as &[Option<&str>],
            &times
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Records changes in the transaction that makes them, each with the order's version after it.
pub async fn record(
    tx: &mut PgConnection,
    changes: impl IntoIterator<Item = (Uuid, i64, OrderEvent)>,
) -> Result<(), Error> {
    let entry = |(order_id, version, event): (Uuid, i64, OrderEvent)| Entry {
        id: order_id.to_string(),
        version,
        event,
    };
    eventsourcing::record(tx, ORDER, changes.into_iter().map(entry).collect()).await?;
    Ok(())
}

/// Returns the sequence of the order's latest change, for which a reader of the history may wait.
pub async fn latest(pool: &PgPool, order_id: Uuid) -> Result<i64, Error> {
    let mut connection = pool.acquire().await?;
    let latest = eventsourcing::latest(&mut connection, ORDER, &order_id.to_string()).await?;
    latest.ok_or(Error::UnknownOrder(order_id))
}

/// Returns up to `limit` changes of an order after version `after`, in order.
pub async fn list(
    pool: &PgPool,
    order_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<HistoryEntry>, Error> {
    let mut connection = pool.acquire().await?;
    sqlx::query_scalar!("SELECT order_id FROM orders WHERE order_id = $1", order_id)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(Error::UnknownOrder(order_id))?;
    Ok(sqlx::query_as!(
        HistoryEntry,
        r#"SELECT version, change AS "change: Change", state AS "state: State", reason,
                  delivery AS "delivery: Delivery", recorded_at
           FROM order_history
           WHERE generation = (SELECT generation FROM eventsourcing.projection
                               WHERE name = 'order_history' AND status = 'LIVE')
                 AND order_id = $1 AND version > $2
           ORDER BY version LIMIT $3"#,
        order_id,
        after,
        limit
    )
    .fetch_all(&mut *connection)
    .await?)
}
