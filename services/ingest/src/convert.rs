//! Conversions between the contracts and the model.

use chassis::time::format_local;
use events::HandlerError;
use protos::{
    ingest::v1::{self as pb, CreateImportRequest, InvoiceAccepted, InvoiceLine, ReturnAccepted},
    orders::v1::{OrderSettled, OrderState, ReturnRejection, ReturnSettled},
};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        self, AppendedRow, Import, Invoice, Line, Mapping, NewImport, Outcome, RejectedRow,
        Settlement, State,
    },
};

/// Parses the id of an import.
///
/// # Errors
/// [`Error::UnknownImport`]: no import has a malformed id.
pub fn import_id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::UnknownImport(text.to_owned()))
}

/// Returns the fact that a sale was accepted.
pub fn sale(mapping: &Mapping, import_id: Uuid, sale: Invoice) -> InvoiceAccepted {
    let (first_row_number, _) = sale.rows();
    InvoiceAccepted {
        account_id: sale.head.account_id,
        guest: sale.head.guest,
        source: mapping.source().to_owned(),
        import_id: import_id.to_string(),
        first_row_number,
        invoice_number: sale.head.invoice_number,
        placed_at: format_local(sale.head.time),
        currency_code: mapping.currency_code().to_owned(),
        lines: sale.lines.into_iter().map(Into::into).collect(),
    }
}

/// Returns the fact that a return was accepted.
pub fn returned(mapping: &Mapping, import_id: Uuid, invoice: Invoice) -> ReturnAccepted {
    let (first_row_number, _) = invoice.rows();
    ReturnAccepted {
        account_id: invoice.head.account_id,
        guest: invoice.head.guest,
        source: mapping.source().to_owned(),
        import_id: import_id.to_string(),
        first_row_number,
        invoice_number: invoice.head.invoice_number,
        returned_at: format_local(invoice.head.time),
        currency_code: mapping.currency_code().to_owned(),
        lines: invoice.lines.into_iter().map(Into::into).collect(),
    }
}

/// Converts the end of an order into that of its group of rows; none if a client placed the order.
///
/// # Errors
/// Poison if the import's id is malformed or the order is not at its end.
pub fn order_settled(fact: &OrderSettled) -> Result<Option<Settlement>, HandlerError> {
    let outcome = match fact.state() {
        OrderState::Paid => Outcome::Paid,
        OrderState::OutOfStock => Outcome::OutOfStock,
        OrderState::PaymentDeclined => Outcome::PaymentDeclined,
        OrderState::Cancelled => Outcome::Cancelled,
        OrderState::Failed => Outcome::Failed,
        OrderState::Unspecified => Outcome::Refused(rule(&fact.reason).to_owned()),
        state @ (OrderState::Pending | OrderState::Confirmed) => {
            let reason = format!("settled as {}", state.as_str_name());
            return Err(HandlerError::poison(reason));
        }
    };
    settlement(&fact.import_id, fact.first_row_number, outcome)
}

/// Converts the end of a return into that of its group of rows; none if it belongs to no import.
///
/// # Errors
/// Poison if the import's id is malformed.
pub fn return_settled(fact: &ReturnSettled) -> Result<Option<Settlement>, HandlerError> {
    settlement(&fact.import_id, fact.first_row_number, Outcome::Returned)
}

/// Converts a row that orders rejected; `mapping` names the column.
pub fn rejected_row(mapping: &Mapping, rejection: ReturnRejection) -> RejectedRow {
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
        column: Some(column.to_owned()),
        rule: rejection.rule,
        value: model::cut(&rejection.value),
    }
}

/// Converts the numbers of rejected rows by rule.
pub fn rejected(rejected: Vec<(String, i64)>) -> Vec<pb::RejectionCount> {
    rejected
        .into_iter()
        .map(|(rule, rows)| pb::RejectionCount { rule, rows })
        .collect()
}

impl From<CreateImportRequest> for NewImport {
    fn from(request: CreateImportRequest) -> Self {
        Self {
            request_id: request.request_id,
            source: request.source,
            file_name: request.file_name,
            size_bytes: request.size_bytes,
            sha256: Some(request.sha256).filter(|digest| !digest.is_empty()),
        }
    }
}

impl From<pb::OrderRow> for AppendedRow {
    fn from(row: pb::OrderRow) -> Self {
        Self {
            number: row.number,
            invoice_number: row.invoice_number,
            sku: row.sku,
            description: row.description,
            quantity: row.quantity,
            time: row.time,
            unit_price: row.unit_price,
            customer: row.customer,
            others: row.others,
        }
    }
}

impl From<AppendedRow> for pb::OrderRow {
    fn from(row: AppendedRow) -> Self {
        Self {
            number: row.number,
            invoice_number: row.invoice_number,
            sku: row.sku,
            description: row.description,
            quantity: row.quantity,
            time: row.time,
            unit_price: row.unit_price,
            customer: row.customer,
            others: row.others,
        }
    }
}

impl From<Import> for pb::Import {
    fn from(import: Import) -> Self {
        Self {
            import_id: import.import_id.to_string(),
            state: pb::ImportState::from(import.state()).into(),
            rows_read: import.totals.rows_read,
            rows_accepted: import.totals.rows_accepted(),
            rows_missing: import.totals.rows_missing,
            rejected: rejected(import.totals.rejected),
            source: import.source,
            file_name: import.file_name,
            size_bytes: import.size_bytes,
            received_bytes: import.received_bytes,
            invoices_published: import.invoices_published,
            invoices_settled: import.invoices_settled,
        }
    }
}

impl From<State> for pb::ImportState {
    fn from(state: State) -> Self {
        match state {
            State::Receiving => Self::Receiving,
            State::Settling => Self::Settling,
            State::Completed => Self::Completed,
        }
    }
}

impl From<RejectedRow> for pb::RejectedRow {
    fn from(row: RejectedRow) -> Self {
        Self {
            row_number: row.row_number,
            column: row.column.unwrap_or_default(),
            rule: row.rule,
            value: row.value,
        }
    }
}

impl From<Line> for InvoiceLine {
    fn from(line: Line) -> Self {
        Self {
            row_number: line.row_number,
            sku: line.sku,
            description: line.description,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
            charge: line.charge,
        }
    }
}

/// Translates the reason of a refused order into a rule of imports: an order is an invoice here.
fn rule(reason: &str) -> &str {
    match reason {
        "ORDER_CHANGED" => "INVOICE_CHANGED",
        other => other,
    }
}

fn settlement(
    import_id: &str,
    first_row_number: i64,
    outcome: Outcome,
) -> Result<Option<Settlement>, HandlerError> {
    if import_id.is_empty() {
        return Ok(None);
    }
    let import_id = Uuid::parse_str(import_id)
        .map_err(|error| HandlerError::poison(format!("import_id {import_id:?}: {error}")))?;
    Ok(Some(Settlement {
        import_id,
        first_row_number,
        outcome,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(state: OrderState, reason: &str) -> OrderSettled {
        OrderSettled {
            import_id: Uuid::nil().to_string(),
            state: state.into(),
            reason: reason.to_owned(),
            ..OrderSettled::default()
        }
    }

    #[test]
    fn a_refusal_is_a_rule_of_imports() {
        let refused = settled(OrderState::Unspecified, "ORDER_CHANGED");
        let outcome = order_settled(&refused).unwrap().unwrap().outcome;
        assert_eq!(outcome.name(), "INVOICE_CHANGED");
    }

    #[test]
    fn an_end_has_the_name_of_the_order_state() {
        for (state, name) in [
            (OrderState::Paid, "PAID"),
            (OrderState::OutOfStock, "OUT_OF_STOCK"),
            (OrderState::PaymentDeclined, "PAYMENT_DECLINED"),
        ] {
            let outcome = order_settled(&settled(state, "")).unwrap().unwrap().outcome;
            assert_eq!(outcome.name(), name);
        }
    }

    #[test]
    fn an_order_of_a_client_settles_nothing() {
        assert!(order_settled(&OrderSettled::default()).unwrap().is_none());
    }
}
