//! Facts of other services that orders acts on: accepted sales and returns, parcels.

use std::time::Duration;

use chassis::error::Fault;
use events::{Consumer, Facts};
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
        .on_batch::<InvoiceAccepted>(move |tx, facts| {
            Box::pin(async move { Ok(place(tx, facts, saga_deadline).await?) })
        })
        .on_batch::<ReturnAccepted>(move |tx, facts| {
            Box::pin(async move {
                let returns = facts.into_iter().map(convert::accepted_return);
                let returns: Vec<_> = returns.collect::<Result<_, _>>()?;
                Ok(returns::insert(tx, &returns, saga_deadline).await?)
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

/// Places the sales as orders, by the same rule as `PlaceOrder`. Publishes their ends for the
/// imports if they are known, and their refusals.
async fn place(
    tx: &mut PgConnection,
    facts: Vec<InvoiceAccepted>,
    deadline: Duration,
) -> Result<(), Error> {
    let invoices = facts.into_iter().map(convert::invoice);
    let (orders, groups): (Vec<_>, Vec<_>) =
        invoices.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let results = orders::place(tx, &orders, deadline).await?;
    let mut settled = Facts::new();
    let mut waiting = Vec::with_capacity(groups.len());
    for (result, group) in results.into_iter().zip(groups) {
        let error = match result {
            Ok(placed) => {
                waiting.push((placed, group));
                continue;
            }
            Err(error) => error,
        };
        // A refused sale doesn't stop the account's later ones.
        let order_id = match error {
            Error::OrderChanged { order_id, .. } => order_id,
            Error::TotalOverflow => model::refusal_id(&group),
            error => return Err(error),
        };
        let reason = Fault::from(error).reason;
        settled.add(&convert::order_settled(
            order_id,
            None,
            Some(reason),
            Some(group),
        ))?;
    }
    let ends = orders::wait_for_ends(tx, &waiting).await?;
    for (placed, group) in waiting {
        let order_id = placed.order_id;
        if let Some((end, reason)) = ends.get(&order_id) {
            let end = Some(*end);
            settled.add(&convert::order_settled(
                order_id,
                end,
                reason.as_deref(),
                Some(group),
            ))?;
        }
    }
    Ok(settled.publish(tx).await?)
}
