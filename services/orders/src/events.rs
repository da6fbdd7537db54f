//! Facts of other services that orders acts on: accepted sales and returns, parcels.

use std::time::Duration;

use chassis::error::Fault;
use events::Consumer;
use protos::{
    ingest::v1::{InvoiceAccepted, ReturnAccepted},
    shipping::v1::{ParcelFailed, ParcelShipped},
};
use sqlx::PgConnection;

use crate::{
    convert,
    error::Error,
    model::{
        self, Delivery,
        saga::{RETURN, ReturnStep},
    },
    store::{orders, returns},
};

/// Follows every account's accepted sales and returns.
pub fn consumer(saga_deadline: Duration) -> Consumer {
    Consumer::new("orders.accounts", "ingest", "account")
        .on::<InvoiceAccepted>(move |tx, fact| {
            Box::pin(async move { Ok(place(tx, fact, saga_deadline).await?) })
        })
        .on::<ReturnAccepted>(move |tx, fact| {
            Box::pin(async move {
                let (ret, lines) = convert::accepted_return(fact)?;
                Ok(returns::insert(tx, &ret, &lines, saga_deadline).await?)
            })
        })
}

/// Follows the parcels of paid orders.
pub fn parcels() -> Consumer {
    Consumer::new("orders.parcels", "shipping", "parcel")
        .on_batch::<ParcelShipped>(|tx, facts| {
            let ids = facts.into_iter().map(|fact| fact.order_id).collect();
            Box::pin(async move { Ok(delivered(tx, ids, Delivery::Shipped).await?) })
        })
        .on_batch::<ParcelFailed>(|tx, facts| {
            let ids = facts.into_iter().map(|fact| fact.order_id).collect();
            Box::pin(async move { Ok(delivered(tx, ids, Delivery::Failed).await?) })
        })
}

/// Records the ends of deliveries, and makes the returns that wait for them due.
async fn delivered(tx: &mut PgConnection, ids: Vec<String>, end: Delivery) -> Result<(), Error> {
    let ids = ids.iter().map(|id| convert::order_id(id));
    let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
    let accounts = orders::end_deliveries(tx, &ids, end).await?;
    let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
    ::saga::wake(tx, &RETURN, ReturnStep::Allocate, &accounts).await?;
    Ok(())
}

/// Places the sale as an order, by the same rule as `PlaceOrder`. Publishes its end for the import
/// if it is known, or its refusal.
async fn place(
    tx: &mut PgConnection,
    fact: InvoiceAccepted,
    deadline: Duration,
) -> Result<(), Error> {
    let (order, group) = convert::invoice(fact)?;
    let settled = match orders::place(tx, &order, deadline).await {
        Ok(order_id) => orders::wait_for_end(tx, order_id, &group)
            .await?
            .map(|(end, reason)| {
                convert::order_settled(order_id, Some(end), reason.as_deref(), Some(group))
            }),
        // A refused sale doesn't stop the account's later ones.
        Err(error @ (Error::OrderChanged(_) | Error::TotalOverflow)) => {
            let order_id = model::order_id(&order.request_id);
            let reason = Fault::from(error).reason;
            let refused = convert::order_settled(order_id, None, Some(reason), Some(group));
            Some(refused)
        }
        Err(error) => return Err(error),
    };
    if let Some(settled) = settled {
        events::publish(tx, &settled).await?;
    }
    Ok(())
}
