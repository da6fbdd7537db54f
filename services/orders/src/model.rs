//! Pure rules of orders: totals, fingerprints, states.

pub mod history;
pub mod returns;
pub mod saga;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Namespace of the ids by which refusals of imported invoices are published.
const REFUSAL_NAMESPACE: Uuid = Uuid::from_u128(0x6f7d_1c0e_5a0b_4c57_9a3e_02b3_3d1f_5e12);

/// An order to place.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The party that asks for it.
    pub origin: Origin,
    /// Idempotency key among the orders of its origin; the invoice number of an import.
    pub request_id: String,
    /// Customer or guest account.
    pub account_id: String,
    /// Local civil time.
    pub placed_at: NaiveDateTime,
    /// ISO 4217.
    pub currency_code: String,
    /// At least one.
    pub lines: Vec<Line>,
}

/// The party that asks for an order. Requests of one origin do not meet those of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A caller of `PlaceOrder`.
    Caller,
    /// An import of this source.
    Source(String),
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Stock keeping unit, or the code of a charge.
    pub sku: String,
    /// Free text.
    pub description: String,
    /// Pieces, greater than 0.
    pub quantity: i64,
    /// Minor units for one piece, greater than 0.
    pub unit_price_minor: i64,
    /// True for a charge: money without stock.
    pub charge: bool,
}

/// An order and its state. Lists leave `lines` empty.
#[derive(Clone, Debug)]
pub struct Order {
    /// Id of the order.
    pub order_id: Uuid,
    /// The caller's idempotency key.
    pub request_id: String,
    /// Customer or guest account.
    pub account_id: String,
    /// State of the order.
    pub state: State,
    /// Why the order was refused, cancelled or failed.
    pub reason: Option<String>,
    /// Local civil time.
    pub placed_at: NaiveDateTime,
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units.
    pub total_minor: i64,
    /// The caller asked to cancel it.
    pub cancel_requested: bool,
    /// The delivery of a paid order with goods.
    pub delivery: Option<Delivery>,
    /// Grows with every change.
    pub version: i64,
    /// Order of arrival; lists page by it.
    pub number: i64,
    /// The lines, in order.
    pub lines: Vec<Line>,
}

/// A group of imported rows: the rows of one invoice of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    /// The import.
    pub import_id: String,
    /// Number of its first row: the id of the group within the import.
    pub first_row_number: i64,
}

/// The state of an order; its name is the one in the database.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Stock and money are being secured.
    Pending,
    /// Both are secured; it can't be cancelled any more.
    Confirmed,
    /// Paid.
    Paid,
    /// A line could not be reserved.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// Cancelled by the caller.
    Cancelled,
    /// A step failed, or the deadline passed.
    Failed,
}

/// A paid order, as others learn of it.
#[derive(Clone, Debug)]
pub struct Paid {
    /// Id of the order.
    pub order_id: Uuid,
    /// Customer or guest account.
    pub account_id: String,
    /// Pieces of goods; 0 if there is nothing to ship.
    pub pieces: i64,
    /// Minor units.
    pub total_minor: i64,
    /// Local civil time.
    pub placed_at: NaiveDateTime,
}

/// The delivery of a paid order; its name is the one in the database.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// The parcel is being prepared.
    Pending,
    /// The parcel was handed to the carrier.
    Shipped,
    /// No carrier takes it; the payment is refunded.
    Failed,
}

/// Returns the id by which the refusal of a group of rows without an order is published.
pub fn refusal_id(group: &RowGroup) -> Uuid {
    let name = format!("{}/{}", group.import_id, group.first_row_number);
    Uuid::new_v5(&REFUSAL_NAMESPACE, name.as_bytes())
}

impl std::fmt::Display for Origin {
    /// Writes the name in the database.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller => f.write_str("CALLER"),
            Self::Source(source) => write!(f, "SOURCE:{source}"),
        }
    }
}

impl NewOrder {
    /// Returns the sum of quantity times price in minor units; `None` if it exceeds 64 bits.
    pub fn total_minor(&self) -> Option<i64> {
        self.lines.iter().try_fold(0i64, |sum, line| {
            sum.checked_add(line.quantity.checked_mul(line.unit_price_minor)?)
        })
    }

    /// Returns the SHA-256 of the content. Every value is preceded by its length, so that no two
    /// contents are hashed alike.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut text = |value: &str| {
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        };
        text(&self.account_id);
        text(&self.placed_at.to_string());
        text(&self.currency_code);
        for line in &self.lines {
            text(&line.sku);
            text(&line.description);
            text(&line.quantity.to_string());
            text(&line.unit_price_minor.to_string());
            text(if line.charge { "charge" } else { "" });
        }
        hash.finalize().into()
    }
}

impl State {
    /// Returns true for the states that never change again.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Pending | Self::Confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> NewOrder {
        let line = Line {
            sku: "85123A".into(),
            description: "LANTERN".into(),
            quantity: 6,
            unit_price_minor: 255,
            charge: false,
        };
        NewOrder {
            origin: Origin::Caller,
            request_id: "536365".into(),
            account_id: "17850".into(),
            placed_at: chrono::NaiveDate::from_ymd_opt(2010, 12, 1)
                .unwrap()
                .and_hms_opt(8, 26, 0)
                .unwrap(),
            currency_code: "GBP".into(),
            lines: vec![line],
        }
    }

    #[test]
    fn total_is_exact_or_refused() {
        let mut order = order();
        assert_eq!(order.total_minor(), Some(1530));
        order.lines[0].unit_price_minor = i64::MAX;
        assert_eq!(order.total_minor(), None);
    }

    #[test]
    fn any_change_of_content_changes_the_fingerprint() {
        let base = order().fingerprint();
        let changes: [fn(&mut NewOrder); 6] = [
            |o| o.account_id.push('1'),
            |o| o.currency_code = "EUR".into(),
            |o| o.lines[0].quantity += 1,
            |o| o.lines[0].charge = true,
            |o| o.lines[0].description.clear(),
            |o| o.lines.push(o.lines[0].clone()),
        ];
        for change in changes {
            let mut changed = order();
            change(&mut changed);
            assert_ne!(changed.fingerprint(), base);
        }
        assert_eq!(order().fingerprint(), base);
    }

    #[test]
    fn a_value_can_not_pose_as_two() {
        let (mut left, mut right) = (order(), order());
        (left.lines[0].sku, left.lines[0].description) = ("AB".into(), "C".into());
        (right.lines[0].sku, right.lines[0].description) = ("A".into(), "BC".into());
        assert_ne!(left.fingerprint(), right.fingerprint());
    }
}
