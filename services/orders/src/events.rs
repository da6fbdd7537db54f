//! Facts of other services that orders acts on: accepted sales and returns.

use std::time::Duration;

use chassis::error::Fault;
use events::Consumer;
use protos::ingest::v1::{InvoiceAccepted, ReturnAccepted};
use sqlx::PgConnection;

use crate::{
    convert,
    error::Error,
    model,
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
