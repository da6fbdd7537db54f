//! Facts of other services that orders acts on: accepted sales and returns.

use events::Consumer;
use protos::{
    ingest::v1::{InvoiceAccepted, InvoiceLine, ReturnAccepted},
    orders::v1::OrderState,
};
use sqlx::PgConnection;

use crate::{
    error::Error,
    model::{self, Line, NewOrder, returns::ReturnLine},
    rpc::{local_time, state_to_proto},
    saga,
    store::{
        orders::{self, Waiting},
        returns::{self, Return},
    },
};

/// Follows every account's accepted sales and returns.
pub fn consumer(saga_deadline_ms: i64) -> Consumer {
    Consumer::new("orders.accounts", "ingest", "account")
        .on::<InvoiceAccepted>(move |tx, fact| {
            Box::pin(async move { Ok(place(tx, fact, saga_deadline_ms).await?) })
        })
        .on::<ReturnAccepted>(move |tx, fact| {
            Box::pin(async move { Ok(take_in(tx, fact, saga_deadline_ms).await?) })
        })
}

/// Places the sale as an order, by the same rule as `PlaceOrder`. Publishes its end for the import
/// if it is known, or its refusal.
async fn place(
    tx: &mut PgConnection,
    fact: InvoiceAccepted,
    deadline_ms: i64,
) -> Result<(), Error> {
    let group = Waiting {
        import_id: fact.import_id,
        first_row_number: fact.first_row_number,
    };
    let order = NewOrder {
        request_id: fact.invoice_number,
        account_id: fact.account_id,
        placed_at: local_time("placed_at", &fact.placed_at)?,
        currency_code: fact.currency_code,
        lines: fact.lines.into_iter().map(line).collect(),
    };
    let order_id = match orders::place(tx, &order, deadline_ms).await {
        Ok(order_id) => order_id,
        Err(Error::InvoiceChanged(_)) => return refuse(tx, &order, "INVOICE_CHANGED", group).await,
        Err(Error::TotalOverflow) => return refuse(tx, &order, "TOTAL_OVERFLOW", group).await,
        Err(error) => return Err(error),
    };
    if let Some((end, reason)) = orders::wait_for_end(tx, order_id, &group).await? {
        let settled = saga::settled(&order_id.to_string(), state_to_proto(end), &reason, group);
        events::publish(tx, &settled).await?;
    }
    Ok(())
}

/// Tells the import that its rows make no order. The account's later sales go on.
async fn refuse(
    tx: &mut PgConnection,
    order: &NewOrder,
    reason: &str,
    group: Waiting,
) -> Result<(), Error> {
    let order_id = model::order_id(&order.request_id).to_string();
    let refused = saga::settled(&order_id, OrderState::Unspecified, reason, group);
    Ok(events::publish(tx, &refused).await?)
}

async fn take_in(
    tx: &mut PgConnection,
    fact: ReturnAccepted,
    deadline_ms: i64,
) -> Result<(), Error> {
    let ret = Return {
        return_id: model::return_id(&fact.import_id, fact.first_row_number),
        account_id: fact.account_id,
        guest: fact.guest,
        invoice_number: fact.invoice_number,
        returned_at: local_time("returned_at", &fact.returned_at)?,
        import_id: fact.import_id,
        first_row_number: fact.first_row_number,
    };
    let lines: Vec<_> = fact.lines.into_iter().map(return_line).collect();
    returns::take_in(tx, &ret, &lines, deadline_ms).await
}

fn line(line: InvoiceLine) -> Line {
    Line {
        sku: line.sku,
        description: line.description,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
        charge: line.charge,
    }
}

fn return_line(line: InvoiceLine) -> ReturnLine {
    ReturnLine {
        row_number: line.row_number,
        sku: line.sku,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
        charge: line.charge,
    }
}
