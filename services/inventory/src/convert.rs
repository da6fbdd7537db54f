//! Conversions between the contract and the model.

use protos::inventory::v1::{self as pb, SummarizeStockResponse};
use tonic::Status;

use crate::{
    error::Error,
    model::{self, Count, MAX_BATCH_LINES, Pieces, Reservation, Shortage, State, Stock, Totals},
};

/// Adds up lines of the same SKU.
///
/// # Errors
/// [`Error::TooMany`] if a sum exceeds 64 bits.
pub fn lines(lines: Vec<pb::StockLine>) -> Result<Pieces, Error> {
    model::add_up(lines.into_iter().map(|line| (line.sku, line.quantity))).ok_or(Error::TooMany)
}

/// Adds up the lines of every request of a batch.
///
/// # Errors
/// [`Error::TooManyLines`], or [`Error::TooMany`] of one of them: then none is processed.
pub fn batch(
    requests: impl IntoIterator<Item = (String, Vec<pb::StockLine>)>,
) -> Result<Vec<(String, Pieces)>, Error> {
    let requests: Vec<_> = requests.into_iter().collect();
    let total = requests.iter().map(|(_, lines)| lines.len()).sum();
    if total > MAX_BATCH_LINES {
        return Err(Error::TooManyLines(total));
    }
    let added_up = |(id, given): (String, _)| Ok((id, lines(given)?));
    requests.into_iter().map(added_up).collect()
}

/// Returns the result of one request of a batch, without the lines of its reservation.
pub fn reservation_result(result: Result<Reservation, Error>) -> pb::ReservationResult {
    use pb::reservation_result::Result as Of;
    let result = match result {
        Ok(reservation) => Of::Reservation(
            Reservation {
                lines: Pieces::new(),
                ..reservation
            }
            .into(),
        ),
        Err(error) => Of::Error(Status::from(error).into()),
    };
    pb::ReservationResult {
        result: Some(result),
    }
}

/// Returns the result of one return of a batch.
pub fn return_result(result: Result<bool, Error>) -> pb::ReturnStockResult {
    use pb::return_stock_result::Result as Of;
    let result = match result {
        Ok(recorded) => Of::Recorded(recorded),
        Err(error) => Of::Error(Status::from(error).into()),
    };
    pb::ReturnStockResult {
        result: Some(result),
    }
}

impl From<pb::StockCount> for Count {
    fn from(count: pb::StockCount) -> Self {
        Self {
            sku: count.sku,
            request_id: count.request_id,
            quantity: count.quantity,
        }
    }
}

impl From<Stock> for pb::Stock {
    fn from(stock: Stock) -> Self {
        Self {
            sku: stock.sku,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
        }
    }
}

impl From<Totals> for SummarizeStockResponse {
    fn from(totals: Totals) -> Self {
        Self {
            counted: totals.counted,
            shipped: totals.shipped,
            returned: totals.returned,
            reserved: totals.reserved,
            on_hand: totals.on_hand,
        }
    }
}

impl From<Reservation> for pb::Reservation {
    fn from(reservation: Reservation) -> Self {
        let lines = reservation.lines.into_iter();
        let shortages = reservation.shortages.into_iter();
        Self {
            reservation_id: reservation.id,
            state: pb::ReservationState::from(reservation.state).into(),
            lines: lines
                .map(|(sku, quantity)| pb::StockLine { sku, quantity })
                .collect(),
            shortages: shortages.map(Into::into).collect(),
        }
    }
}

impl From<Shortage> for pb::Shortage {
    fn from(short: Shortage) -> Self {
        Self {
            sku: short.sku,
            requested: short.requested,
            available: short.available,
        }
    }
}

impl From<State> for pb::ReservationState {
    fn from(state: State) -> Self {
        match state {
            State::Reserved => Self::Reserved,
            State::Refused => Self::Refused,
            State::Released => Self::Released,
            State::Shipped => Self::Shipped,
        }
    }
}
