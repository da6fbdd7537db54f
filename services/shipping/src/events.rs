//! Paid orders in, parcels out.

use std::collections::HashSet;

use events::{Consumer, Facts};
use protos::orders::v1::OrderPaid;
use sqlx::PgConnection;

use crate::{
    convert,
    error::Error,
    model::{Carrier, PaidOrder, Parcel},
    store,
};

/// Hands the parcel of every paid order to the carrier.
pub fn consumer(carrier: Carrier) -> Consumer {
    let consumer = Consumer::new("shipping.orders", "orders", "order");
    consumer.on_batch::<OrderPaid>(move |tx, facts| {
        Box::pin(async move { Ok(ship(tx, facts, carrier).await?) })
    })
}

async fn ship(tx: &mut PgConnection, facts: Vec<OrderPaid>, carrier: Carrier) -> Result<(), Error> {
    let orders = facts.into_iter().map(PaidOrder::try_from);
    let mut orders: Vec<_> = orders.collect::<Result<_, _>>()?;
    // One order everywhere: another instance may insert the same parcels.
    orders.sort_unstable_by_key(|order| order.order_id);
    let take = |order| Some((carrier.take(&order)?, order));
    let taken: Vec<(Parcel, PaidOrder)> = orders.into_iter().filter_map(take).collect();
    // An order is paid once, whatever a restore of its database says again.
    let new: HashSet<_> = store::insert(tx, &taken).await?.into_iter().collect();
    let mut facts = Facts::new();
    for (parcel, order) in &taken {
        match parcel.reason {
            _ if !new.contains(&parcel.order_id) => {}
            None => facts.add(&convert::shipped(parcel))?,
            Some(reason) => facts.add(&convert::failed(order, reason))?,
        }
    }
    facts.publish(tx).await?;
    chassis::crash::point("shipping.parcel.before_commit");
    Ok(())
}
