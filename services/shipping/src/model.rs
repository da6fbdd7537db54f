//! Pure rules of parcels.

use uuid::Uuid;

/// The limits of the carrier.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// Most pieces in one parcel.
    pub max_pieces: i64,
}

/// A paid order.
#[derive(Clone, Debug)]
pub struct PaidOrder {
    /// The order.
    pub order_id: Uuid,
    /// Pieces of goods; 0 if nothing is to be shipped.
    pub pieces: i64,
    /// Minor units.
    pub total_minor: i64,
    /// Local civil time, as the order's contract writes it.
    pub placed_at: String,
}

/// The parcel of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The order.
    pub order_id: Uuid,
    /// Pieces in the parcel.
    pub pieces: i64,
    /// State of the parcel.
    pub state: State,
    /// Only with FAILED.
    pub reason: Option<Reason>,
}

/// The state of a parcel; its name is the one in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Handed to the carrier.
    Shipped,
    /// No carrier takes it.
    Failed,
}

/// Why no carrier takes a parcel; its name is the one in events and in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// More pieces than the carrier takes.
    ParcelTooLarge,
}

/// Totals over all parcels.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Parcels shipped.
    pub shipped: i64,
    /// Parcels that failed.
    pub failed: i64,
}

impl Carrier {
    /// Returns the parcel of a paid order, shipped or failed; none if it has no goods.
    pub fn take(self, order: &PaidOrder) -> Option<Parcel> {
        if order.pieces == 0 {
            return None;
        }
        let (state, reason) = if order.pieces > self.max_pieces {
            (State::Failed, Some(Reason::ParcelTooLarge))
        } else {
            (State::Shipped, None)
        };
        Some(Parcel {
            order_id: order.order_id,
            pieces: order.pieces,
            state,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(pieces: i64) -> Option<(State, Option<Reason>)> {
        let order = PaidOrder {
            order_id: Uuid::nil(),
            pieces,
            total_minor: 1,
            placed_at: String::new(),
        };
        let parcel = Carrier { max_pieces: 10 }.take(&order)?;
        Some((parcel.state, parcel.reason))
    }

    #[test]
    fn the_carrier_takes_up_to_its_limit() {
        assert_eq!(end(0), None);
        assert_eq!(end(10), Some((State::Shipped, None)));
        assert_eq!(end(11), Some((State::Failed, Some(Reason::ParcelTooLarge))));
    }
}
