//! The changes of an order, as they are recorded and as its history shows them.

use chrono::{DateTime, Utc};
use eventsourcing::EventType;
use serde::{Deserialize, Serialize};

use super::{Delivery, State};

/// Kind of the events in the event store; an event's id and version are those of the order.
pub const ORDER: &str = "order";

/// A change of an order; [`Change`] is its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[serde(tag = "type", content = "payload", rename_all = "SCREAMING_SNAKE_CASE")]
#[strum_discriminants(
    name(Change),
    derive(strum::EnumString, strum::IntoStaticStr),
    strum(serialize_all = "SCREAMING_SNAKE_CASE"),
    doc = "The type of a change, without what is told with it."
)]
pub enum OrderEvent {
    /// It was placed.
    Placed {
        /// Customer or guest account.
        account_id: String,
        /// ISO 4217.
        currency_code: String,
        /// Minor units.
        total_minor: i64,
    },
    /// Its cancellation was requested.
    CancelRequested,
    /// It reached another state.
    StateChanged {
        /// The state.
        state: State,
        /// Why it ended without being paid.
        reason: Option<String>,
    },
    /// The delivery of a paid order changed.
    DeliveryChanged {
        /// The delivery.
        delivery: Delivery,
    },
}

/// A row of an order's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The order's version after the change.
    pub version: i64,
    /// Type of the change.
    pub change: Change,
    /// State after the change.
    pub state: State,
    /// Why the order ended without being paid.
    pub reason: Option<String>,
    /// Delivery after the change.
    pub delivery: Option<Delivery>,
    /// When the change was recorded.
    pub recorded_at: DateTime<Utc>,
}

impl eventsourcing::Event for OrderEvent {
    const TYPES: &'static [EventType] = &[
        EventType::new("PLACED"),
        EventType::new("CANCEL_REQUESTED"),
        EventType::new("STATE_CHANGED"),
        EventType::new("DELIVERY_CHANGED"),
    ];
}

impl HistoryEntry {
    /// Creates the row of a change. Only a PENDING order's cancellation can be requested, and only
    /// a PAID one is delivered.
    pub fn of(event: OrderEvent, version: i64, recorded_at: DateTime<Utc>) -> Self {
        let change = Change::from(&event);
        let (state, reason, delivery) = match event {
            OrderEvent::Placed { .. } | OrderEvent::CancelRequested => (State::Pending, None, None),
            OrderEvent::StateChanged { state, reason } => (state, reason, None),
            OrderEvent::DeliveryChanged { delivery } => (State::Paid, None, Some(delivery)),
        };
        Self {
            version,
            change,
            state,
            reason,
            delivery,
            recorded_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_order_after_the_change() {
        let row = |event| {
            let row = HistoryEntry::of(event, 2, DateTime::UNIX_EPOCH);
            (row.change, row.state, row.reason, row.delivery)
        };
        assert_eq!(
            row(OrderEvent::CancelRequested),
            (Change::CancelRequested, State::Pending, None, None)
        );
        let reason = Some("LIMIT_EXCEEDED".to_owned());
        let declined = OrderEvent::StateChanged {
            state: State::PaymentDeclined,
            reason: reason.clone(),
        };
        assert_eq!(
            row(declined),
            (Change::StateChanged, State::PaymentDeclined, reason, None)
        );
        let shipped = OrderEvent::DeliveryChanged {
            delivery: Delivery::Shipped,
        };
        assert_eq!(
            row(shipped),
            (
                Change::DeliveryChanged,
                State::Paid,
                None,
                Some(Delivery::Shipped)
            )
        );
    }
}
