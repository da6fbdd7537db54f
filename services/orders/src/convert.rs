//! Conversions between the contracts and the model.

use chassis::time;
use chrono::{DateTime, NaiveDateTime, Utc};
use prost_types::Timestamp;
use protos::{
    ingest::v1::{InvoiceAccepted, InvoiceLine, ReturnAccepted},
    inventory::v1::StockLine,
    orders::v1::{
        self as pb, DeliveryState, OrderPaid, OrderSettled, OrderState, PlaceOrderRequest,
        ReturnRejection,
    },
};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{
        Delivery, Line, NewOrder, Order, Origin, Paid, RowGroup, State,
        history::{Change, HistoryEntry},
        returns::{RefusedLine, Return, ReturnLine, Rule},
    },
};

/// Parses the id of an order.
///
/// # Errors
/// [`Error::InvalidOrderId`] if it is not a UUID.
pub fn order_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::InvalidOrderId(text.to_owned()))
}

/// Reads the token of a change of an order; `None` for an empty one.
///
/// # Errors
/// [`Error::UnknownToken`] for a text that is no such token.
pub fn history_token(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let sequence = text.parse().ok().filter(|&sequence: &i64| sequence > 0);
    sequence.map(Some).ok_or(Error::UnknownToken)
}

/// Returns the order as the caller gets it after a change; the token is that of the change with
/// that sequence.
pub fn changed_order(order: Order, sequence: i64) -> pb::Order {
    pb::Order {
        history_token: sequence.to_string(),
        ..order.into()
    }
}

/// Returns the filter that a state of a request means: none if it is unspecified.
pub fn state_filter(state: OrderState) -> Option<State> {
    match state {
        OrderState::Unspecified => None,
        OrderState::Pending => Some(State::Pending),
        OrderState::Confirmed => Some(State::Confirmed),
        OrderState::Paid => Some(State::Paid),
        OrderState::OutOfStock => Some(State::OutOfStock),
        OrderState::PaymentDeclined => Some(State::PaymentDeclined),
        OrderState::Cancelled => Some(State::Cancelled),
        OrderState::Failed => Some(State::Failed),
    }
}

/// Returns the order that an accepted invoice places, and the rows that wait for its end.
///
/// # Errors
/// [`Error::InvalidTime`].
pub fn invoice(fact: InvoiceAccepted) -> Result<(NewOrder, RowGroup), Error> {
    let group = RowGroup {
        import_id: fact.import_id,
        first_row_number: fact.first_row_number,
    };
    let order = NewOrder {
        origin: Origin::Source(fact.source),
        request_id: fact.invoice_number,
        account_id: fact.account_id,
        placed_at: local_time("placed_at", &fact.placed_at)?,
        currency_code: fact.currency_code,
        lines: fact.lines.into_iter().map(Into::into).collect(),
    };
    Ok((order, group))
}

/// Returns the return that a fact of ingest accepted, and its lines.
///
/// # Errors
/// [`Error::InvalidTime`].
pub fn accepted_return(fact: ReturnAccepted) -> Result<(Return, Vec<ReturnLine>), Error> {
    let ret = Return {
        // Nobody can know it before the return is stored, and use it in other services first.
        return_id: Uuid::now_v7(),
        account_id: fact.account_id,
        guest: fact.guest,
        invoice_number: fact.invoice_number,
        returned_at: local_time("returned_at", &fact.returned_at)?,
        import_id: fact.import_id,
        first_row_number: fact.first_row_number,
    };
    Ok((ret, fact.lines.into_iter().map(Into::into).collect()))
}

/// Returns the fact that an order came to its end, or was refused if there is none. `group` are the
/// imported rows that it is about; none if a client placed the order.
pub fn order_settled(
    order_id: Uuid,
    end: Option<State>,
    reason: Option<&str>,
    group: Option<RowGroup>,
) -> OrderSettled {
    let state = end.map_or(OrderState::Unspecified, OrderState::from);
    let (import_id, first_row_number) = match group {
        Some(group) => (group.import_id, group.first_row_number),
        None => Default::default(),
    };
    OrderSettled {
        order_id: order_id.to_string(),
        state: state.into(),
        reason: reason.unwrap_or_default().to_owned(),
        import_id,
        first_row_number,
    }
}

/// Returns the fact that an order was paid.
pub fn order_paid(paid: &Paid) -> OrderPaid {
    OrderPaid {
        order_id: paid.order_id.to_string(),
        account_id: paid.account_id.clone(),
        pieces: paid.pieces,
        total_minor: paid.total_minor,
        placed_at: time::format_local(paid.placed_at),
    }
}

/// Returns the lines of an order that are goods.
pub fn stock_lines(order: &Order) -> Vec<StockLine> {
    let goods = order.lines.iter().filter(|line| !line.charge);
    goods
        .map(|line| StockLine {
            sku: line.sku.clone(),
            quantity: line.quantity,
        })
        .collect()
}

impl TryFrom<PlaceOrderRequest> for NewOrder {
    type Error = Error;

    fn try_from(request: PlaceOrderRequest) -> Result<Self, Error> {
        Ok(Self {
            placed_at: local_time("placedAt", &request.placed_at)?,
            origin: Origin::Caller,
            request_id: request.request_id,
            account_id: request.account_id,
            currency_code: request.currency_code,
            lines: request.lines.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<pb::OrderLine> for Line {
    fn from(line: pb::OrderLine) -> Self {
        Self {
            sku: line.sku,
            description: line.description,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
            charge: line.charge,
        }
    }
}

impl From<InvoiceLine> for Line {
    fn from(line: InvoiceLine) -> Self {
        Self {
            sku: line.sku,
            description: line.description,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
            charge: line.charge,
        }
    }
}

impl From<InvoiceLine> for ReturnLine {
    fn from(line: InvoiceLine) -> Self {
        Self {
            row_number: line.row_number,
            sku: line.sku,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
            charge: line.charge,
        }
    }
}

impl From<Order> for pb::Order {
    fn from(order: Order) -> Self {
        Self {
            order_id: order.order_id.to_string(),
            request_id: order.request_id,
            account_id: order.account_id,
            state: OrderState::from(order.state).into(),
            reason: order.reason.unwrap_or_default(),
            placed_at: time::format_local(order.placed_at),
            currency_code: order.currency_code,
            total_minor: order.total_minor,
            lines: order.lines.into_iter().map(Into::into).collect(),
            delivery: order
                .delivery
                .map_or(DeliveryState::Unspecified, Into::into)
                .into(),
            history_token: String::new(),
        }
    }
}

impl From<HistoryEntry> for pb::OrderChange {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            version: entry.version,
            r#type: pb::OrderChangeType::from(entry.change).into(),
            state: OrderState::from(entry.state).into(),
            reason: entry.reason.unwrap_or_default(),
            delivery: entry
                .delivery
                .map_or(DeliveryState::Unspecified, Into::into)
                .into(),
            recorded_at: Some(timestamp(entry.recorded_at)),
        }
    }
}

impl From<Change> for pb::OrderChangeType {
    fn from(change: Change) -> Self {
        match change {
            Change::Placed => Self::Placed,
            Change::CancelRequested => Self::CancelRequested,
            Change::StateChanged => Self::StateChanged,
            Change::DeliveryChanged => Self::DeliveryChanged,
        }
    }
}

impl From<Delivery> for DeliveryState {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::Pending => Self::Pending,
            Delivery::Shipped => Self::Shipped,
            Delivery::Failed => Self::Failed,
        }
    }
}

impl From<Line> for pb::OrderLine {
    fn from(line: Line) -> Self {
        Self {
            sku: line.sku,
            description: line.description,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
            charge: line.charge,
        }
    }
}

impl From<State> for OrderState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Confirmed => Self::Confirmed,
            State::Paid => Self::Paid,
            State::OutOfStock => Self::OutOfStock,
            State::PaymentDeclined => Self::PaymentDeclined,
            State::Cancelled => Self::Cancelled,
            State::Failed => Self::Failed,
        }
    }
}

impl From<RefusedLine> for ReturnRejection {
    /// Names the field that the rule read; the value is as the source wrote it, where returned
    /// pieces are negative.
    fn from(line: RefusedLine) -> Self {
        let (field, value) = match line.rule {
            Rule::WithoutCustomer => ("account_id", String::new()),
            Rule::WithoutOrder | Rule::Repeated => ("sku", line.sku),
            Rule::ExceedsOrder => ("quantity", (-line.quantity).to_string()),
        };
        Self {
            row_number: line.row_number,
            field: field.to_owned(),
            rule: <&str>::from(line.rule).to_owned(),
            value,
        }
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: time.timestamp_subsec_nanos() as i32,
    }
}

/// Parses a local time. The contract's pattern accepts dates that don't exist, such as 30 February.
fn local_time(field: &'static str, value: &str) -> Result<NaiveDateTime, Error> {
    time::parse_local(value).ok_or_else(|| Error::InvalidTime {
        field,
        value: value.to_owned(),
    })
}
