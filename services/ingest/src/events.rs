//! Facts out and in: invoices to orders, and what became of them.

use std::sync::Arc;

use chassis::time::format_local;
use events::{Consumer, HandlerError};
use protos::{
    ingest::v1::{InvoiceAccepted, InvoiceLine, ReturnAccepted},
    orders::v1::{OrderSettled, OrderState, ReturnRejection, ReturnSettled},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::Error,
    model::{self, Invoice, Line, Mapping, Sources},
    store::{self, Published, RejectedRow, Settlement},
};

/// The end of a return; which of its rows were refused is beside it.
const RETURN_OUTCOME: &str = "RETURNED";

/// What orders says about sales.
pub fn order_consumer(sources: Arc<Sources>) -> Consumer {
    Consumer::new("ingest.orders", "orders", "order").on::<OrderSettled>(move |tx, fact| {
        let sources = sources.clone();
        Box::pin(async move { order_settled(tx, &sources, fact).await })
    })
}

/// What orders says about returns.
pub fn return_consumer(sources: Arc<Sources>) -> Consumer {
    Consumer::new("ingest.returns", "orders", "return").on::<ReturnSettled>(move |tx, fact| {
        let sources = sources.clone();
        Box::pin(async move { return_settled(tx, &sources, fact).await })
    })
}

pub(crate) async fn publish_sale(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    sale: Invoice,
) -> Result<(), Error> {
    let (first_row_number, _) = sale.rows();
    let fact = InvoiceAccepted {
        account_id: sale.head.account_id,
        guest: sale.head.guest,
        source: mapping.source().to_owned(),
        import_id: import_id.to_string(),
        first_row_number,
        invoice_number: sale.head.invoice_number,
        placed_at: format_local(sale.head.time),
        currency_code: mapping.currency_code().to_owned(),
        lines: sale.lines.into_iter().map(line_to_proto).collect(),
    };
    Ok(events::publish(tx, &fact).await?)
}

pub(crate) async fn publish_return(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    invoice: Invoice,
) -> Result<(), Error> {
    let (first_row_number, _) = invoice.rows();
    let fact = ReturnAccepted {
        account_id: invoice.head.account_id,
        guest: invoice.head.guest,
        source: mapping.source().to_owned(),
        import_id: import_id.to_string(),
        first_row_number,
        invoice_number: invoice.head.invoice_number,
        returned_at: format_local(invoice.head.time),
        currency_code: mapping.currency_code().to_owned(),
        lines: invoice.lines.into_iter().map(line_to_proto).collect(),
    };
    Ok(events::publish(tx, &fact).await?)
}

fn line_to_proto(line: Line) -> InvoiceLine {
    InvoiceLine {
        row_number: line.row_number,
        sku: line.sku,
        description: line.description,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
        charge: line.charge,
    }
}

async fn order_settled(
    tx: &mut PgConnection,
    sources: &Sources,
    fact: OrderSettled,
) -> Result<(), HandlerError> {
    // A client placed this order: it belongs to no import.
    if fact.import_id.is_empty() {
        return Ok(());
    }
    let refused = fact.state() == OrderState::Unspecified;
    let state = fact
        .state()
        .as_str_name()
        .trim_start_matches("ORDER_STATE_");
    let outcome = if refused { &fact.reason } else { state };
    let settlement = settlement(&fact.import_id, fact.first_row_number, outcome)?;
    let published = settle(tx, &settlement).await?;
    if refused {
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
    if fact.import_id.is_empty() {
        return Ok(());
    }
    let settlement = settlement(&fact.import_id, fact.first_row_number, RETURN_OUTCOME)?;
    let published = settle(tx, &settlement).await?;
    let mapping = mapping(sources, &published)?;
    let rejected: Vec<_> = fact
        .rejections
        .into_iter()
        .map(|rejection| rejected_row(mapping, rejection))
        .collect();
    Ok(store::reject(tx, settlement.import_id, &rejected).await?)
}

fn settlement(
    import_id: &str,
    first_row_number: i64,
    outcome: &str,
) -> Result<Settlement, HandlerError> {
    let import_id = Uuid::parse_str(import_id)
        .map_err(|error| HandlerError::poison(format!("import_id {import_id:?}: {error}")))?;
    Ok(Settlement {
        import_id,
        first_row_number,
        outcome: outcome.to_owned(),
    })
}

async fn settle(tx: &mut PgConnection, settlement: &Settlement) -> Result<Published, HandlerError> {
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

fn mapping<'a>(sources: &'a Sources, published: &Published) -> Result<&'a Mapping, HandlerError> {
    let source = &published.source;
    sources
        .get(source)
        .map(Arc::as_ref)
        .ok_or_else(|| HandlerError::poison(format!("source {source:?} is no longer declared")))
}

fn rejected_row(mapping: &Mapping, rejection: ReturnRejection) -> RejectedRow {
    let columns = mapping.columns();
    let column = match rejection.field.as_str() {
        "account_id" => &columns.customer,
        "sku" => &columns.sku,
        "quantity" => &columns.quantity,
        // An unmapped name is better than none.
        other => other,
    };
    RejectedRow {
        row_number: rejection.row_number,
        column: column.to_owned(),
        rule: rejection.rule,
        value: model::cut(&rejection.value),
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        Self::transient(error)
    }
}
