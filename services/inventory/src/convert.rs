//! Conversions between the contract and the model.

use protos::inventory::v1::{self as pb, SummarizeStockResponse};

use crate::{
    error::Error,
    model::{self, Count, Pieces, Reservation, Shortage, State, Stock, Totals},
};

/// Adds up lines of the same SKU.
///
/// # Errors
/// [`Error::TooMany`] if a sum exceeds 64 bits.
pub fn lines(lines: Vec<pb::StockLine>) -> Result<Pieces, Error> {
    model::add_up(lines.into_iter().map(|line| (line.sku, line.quantity))).ok_or(Error::TooMany)
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
