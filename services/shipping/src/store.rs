//! The database of parcels.

use ::store::columns;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{PaidOrder, Parcel, Reason, State, Totals},
};

::store::text_enum!(State, Reason);

/// Inserts parcels; returns the orders that had none.
pub async fn insert(
    tx: &mut PgConnection,
    taken: &[(Parcel, PaidOrder)],
) -> Result<Vec<Uuid>, Error> {
    let (orders, pieces, states, reasons) = columns!(
        taken,
        (parcel, _) => parcel.order_id,
        parcel.pieces,
        <&str>::from(parcel.state),
        parcel.reason.map(<&str>::from),
    );
    Ok(sqlx::query_scalar!(
        "INSERT INTO parcel (order_id, pieces, state, reason)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[])
         ON CONFLICT DO NOTHING RETURNING order_id",
        &orders,
        &pieces,
        &states as &[&str],
        &reasons as &[Option<&str>]
    )
    .fetch_all(tx)
    .await?)
}

/// Returns the parcel of an order.
pub async fn parcel(pool: &PgPool, order_id: Uuid) -> Result<Parcel, Error> {
    sqlx::query_as!(
        Parcel,
        r#"SELECT order_id, pieces, state AS "state: State", reason AS "reason: Reason"
           FROM parcel WHERE order_id = $1"#,
        order_id
    )
    .fetch_optional(pool)
    .await?
    .ok_or(Error::UnknownParcel(order_id))
}

/// Returns totals over all parcels.
pub async fn totals(pool: &PgPool) -> Result<Totals, Error> {
    Ok(sqlx::query_as!(
        Totals,
        r#"SELECT count(*) FILTER (WHERE state = 'SHIPPED') AS "shipped!",
                  count(*) FILTER (WHERE state = 'FAILED') AS "failed!"
           FROM parcel"#
    )
    .fetch_one(pool)
    .await?)
}
