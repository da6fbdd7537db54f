//! Conversions between the contracts and the model.

use protos::{
    orders::v1::OrderPaid,
    shipping::v1::{self as pb, ParcelFailed, ParcelShipped, SummarizeParcelsResponse},
};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{PaidOrder, Parcel, Reason, State, Totals},
};

/// Parses the id of an order.
///
/// # Errors
/// [`Error::InvalidOrderId`] if it is not a UUID.
pub fn order_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::InvalidOrderId(text.to_owned()))
}

/// Returns the fact of a shipped parcel.
pub fn shipped(parcel: &Parcel) -> ParcelShipped {
    ParcelShipped {
        order_id: parcel.order_id.to_string(),
        pieces: parcel.pieces,
    }
}

/// Returns the fact of a failed parcel.
pub fn failed(order: &PaidOrder, reason: Reason) -> ParcelFailed {
    ParcelFailed {
        order_id: order.order_id.to_string(),
        reason: <&str>::from(reason).to_owned(),
        total_minor: order.total_minor,
        placed_at: order.placed_at.clone(),
    }
}

impl TryFrom<OrderPaid> for PaidOrder {
    type Error = Error;

    fn try_from(fact: OrderPaid) -> Result<Self, Error> {
        Ok(Self {
            order_id: order_id(&fact.order_id)?,
            pieces: fact.pieces,
            total_minor: fact.total_minor,
            placed_at: fact.placed_at,
        })
    }
}

impl From<Parcel> for pb::Parcel {
    fn from(parcel: Parcel) -> Self {
        let state = match parcel.state {
            State::Shipped => pb::ParcelState::Shipped,
            State::Failed => pb::ParcelState::Failed,
        };
        let reason = parcel.reason.map_or("", Into::into);
        Self {
            order_id: parcel.order_id.to_string(),
            pieces: parcel.pieces,
            state: state.into(),
            reason: reason.to_owned(),
        }
    }
}

impl From<Totals> for SummarizeParcelsResponse {
    fn from(totals: Totals) -> Self {
        Self {
            shipped: totals.shipped,
            failed: totals.failed,
        }
    }
}
