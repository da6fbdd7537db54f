//! Facts of orders: how the published rows of an import ended.

use std::sync::Arc;

use events::{Consumer, HandlerError};
use protos::orders::v1::{OrderSettled, ReturnSettled};
use sqlx::PgConnection;

use crate::{
    convert,
    model::{Mapping, Outcome, Settlement, Sources},
    store::{self, PublishedInvoice},
};

/// Follows the ends of orders.
pub fn order_consumer(sources: Arc<Sources>) -> Consumer {
    Consumer::new("ingest.orders", "orders", "order").on::<OrderSettled>(move |tx, fact| {
        let sources = sources.clone();
        Box::pin(async move { order_settled(tx, &sources, fact).await })
    })
}

/// Follows the ends of returns.
pub fn return_consumer(sources: Arc<Sources>) -> Consumer {
    Consumer::new("ingest.returns", "orders", "return").on::<ReturnSettled>(move |tx, fact| {
        let sources = sources.clone();
        Box::pin(async move { return_settled(tx, &sources, fact).await })
    })
}

async fn order_settled(
    tx: &mut PgConnection,
    sources: &Sources,
    fact: OrderSettled,
) -> Result<(), HandlerError> {
    let Some(settlement) = convert::order_settled(&fact)? else {
        return Ok(());
    };
    let published = settle(tx, &settlement).await?;
    if matches!(settlement.outcome, Outcome::Refused(_)) {
        let column = &mapping(sources, &published)?.columns().invoice_number;
        store::reject_invoice(tx, &settlement, column, &published.invoice_number).await?;
    }
    Ok(())
}

async fn return_settled(
    tx: &mut PgConnection,
    sources: &Sources,
    fact: ReturnSettled,
) -> Result<(), HandlerError> {
    let Some(settlement) = convert::return_settled(&fact)? else {
        return Ok(());
    };
    let published = settle(tx, &settlement).await?;
    let mapping = mapping(sources, &published)?;
    let rejected: Vec<_> = fact
        .rejections
        .into_iter()
        .map(|rejection| convert::rejected_row(mapping, rejection))
        .collect();
    Ok(store::reject(tx, settlement.import_id, &rejected).await?)
}

async fn settle(
    tx: &mut PgConnection,
    settlement: &Settlement,
) -> Result<PublishedInvoice, HandlerError> {
    let Settlement {
        import_id,
        first_row_number,
        ..
    } = settlement;
    store::settle(tx, settlement).await?.ok_or_else(|| {
        HandlerError::poison(format!(
            "import {import_id} published no rows from row {first_row_number} on"
        ))
    })
}

fn mapping<'a>(
    sources: &'a Sources,
    published: &PublishedInvoice,
) -> Result<&'a Mapping, HandlerError> {
    let source = &published.source;
    sources
        .get(source)
        .map(Arc::as_ref)
        .ok_or_else(|| HandlerError::poison(format!("source {source:?} is no longer declared")))
}
