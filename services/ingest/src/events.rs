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
    Consumer::new("ingest.orders", "orders", "order").on_batch::<OrderSettled>(move |tx, facts| {
        let sources = sources.clone();
        Box::pin(async move { orders_settled(tx, &sources, facts).await })
    })
}

/// Follows the ends of returns.
pub fn return_consumer(sources: Arc<Sources>) -> Consumer {
    Consumer::new("ingest.returns", "orders", "return").on_batch::<ReturnSettled>(
        move |tx, facts| {
            let sources = sources.clone();
            Box::pin(async move { returns_settled(tx, &sources, facts).await })
        },
    )
}

async fn orders_settled(
    tx: &mut PgConnection,
    sources: &Sources,
    facts: Vec<OrderSettled>,
) -> Result<(), HandlerError> {
    let settlements: Vec<_> = facts
        .iter()
        .filter_map(|fact| convert::order_settled(fact).transpose())
        .collect::<Result<_, _>>()?;
    let published = settle(tx, &settlements).await?;
    let mut refused = Vec::new();
    for (settlement, published) in settlements.iter().zip(&published) {
        if matches!(settlement.outcome, Outcome::Refused(_)) {
            let column = mapping(sources, published)?
                .columns()
                .invoice_number
                .as_str();
            refused.push((settlement, column, published.invoice_number.as_str()));
        }
    }
    Ok(store::reject_invoices(tx, &refused).await?)
}

async fn returns_settled(
    tx: &mut PgConnection,
    sources: &Sources,
    facts: Vec<ReturnSettled>,
) -> Result<(), HandlerError> {
    let mut settlements = Vec::with_capacity(facts.len());
    let mut rejections = Vec::with_capacity(facts.len());
    for fact in facts {
        if let Some(settlement) = convert::return_settled(&fact)? {
            settlements.push(settlement);
            rejections.push(fact.rejections);
        }
    }
    let published = settle(tx, &settlements).await?;
    let mut rejected = Vec::new();
    for ((settlement, published), rejections) in settlements.iter().zip(&published).zip(rejections)
    {
        let mapping = mapping(sources, published)?;
        for rejection in rejections {
            let row = convert::rejected_row(mapping, rejection);
            rejected.push((settlement.import_id, row));
        }
    }
    let rejected: Vec<_> = rejected
        .iter()
        .map(|(import, row)| (*import, row))
        .collect();
    Ok(store::reject(tx, &rejected).await?)
}

/// Records ends; returns the published group of each.
async fn settle(
    tx: &mut PgConnection,
    settlements: &[Settlement],
) -> Result<Vec<PublishedInvoice>, HandlerError> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let published = store::settle(tx, settlements).await?.into_iter();
    let known = |(published, settlement): (Option<PublishedInvoice>, &Settlement)| {
        published.ok_or_else(|| {
            HandlerError::poison(format!(
                "import {} published no rows from row {} on",
                settlement.import_id, settlement.first_row_number
            ))
        })
    };
    published.zip(settlements).map(known).collect()
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
