//! A payment as an aggregate: its events as they are stored, and the state that follows from them.

use chrono::NaiveDateTime;
use eventsourcing::{Aggregate, EventType};
use serde::{Deserialize, Serialize};

use super::{Event, Kind, Payment};

/// An event of a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Record", from = "Record")]
pub enum PaymentEvent {
    /// The id was voided before it was authorized: it stays unused.
    Closed,
    /// A fact that the ledger has an entry for.
    Entered(Event),
}

/// The stored form of an event.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "SCREAMING_SNAKE_CASE")]
enum Record {
    Closed,
    Authorized(Entry),
    Declined {
        #[serde(flatten)]
        entry: Entry,
        reason: String,
    },
    Captured(Entry),
    Voided(Entry),
    Refunded {
        #[serde(flatten)]
        entry: Entry,
        refund_id: String,
    },
}

/// The content that all entries have.
#[derive(Serialize, Deserialize)]
struct Entry {
    payment_id: String,
    account_id: String,
    currency_code: String,
    amount_minor: i64,
    #[serde(with = "local_time")]
    effective_at: NaiveDateTime,
}

/// Times as in the contract.
pub(super) mod local_time {
    use chassis::time::{format_local, parse_local};
    use chrono::NaiveDateTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::model) fn serialize<S: Serializer>(
        time: &NaiveDateTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_local(*time))
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NaiveDateTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_local(&text).ok_or_else(|| D::Error::custom("not a local time"))
    }
}

impl eventsourcing::Event for PaymentEvent {
    const TYPES: &'static [EventType] = &[
        EventType::new("CLOSED"),
        EventType::new("AUTHORIZED"),
        EventType::new("DECLINED"),
        EventType::new("CAPTURED"),
        EventType::new("VOIDED"),
        EventType::new("REFUNDED"),
    ];
}

impl Aggregate for Payment {
    type Event = PaymentEvent;

    const NAME: &'static str = "payment";
    const STATE_VERSION: i32 = 1;

    fn apply(state: Option<Self>, id: &str, event: &PaymentEvent) -> Option<Self> {
        match (event, state) {
            (PaymentEvent::Closed, None) => Some(Self::closed(id)),
            (PaymentEvent::Entered(event), state) if event.payment_id == id => event.apply(state),
            _ => None,
        }
    }
}

impl From<PaymentEvent> for Record {
    fn from(event: PaymentEvent) -> Self {
        let PaymentEvent::Entered(event) = event else {
            return Self::Closed;
        };
        let entry = Entry {
            payment_id: event.payment_id,
            account_id: event.account_id,
            currency_code: event.currency_code,
            amount_minor: event.amount_minor,
            effective_at: event.effective_at,
        };
        match event.kind {
            Kind::Authorized => Self::Authorized(entry),
            Kind::Declined { reason } => Self::Declined { entry, reason },
            Kind::Captured => Self::Captured(entry),
            Kind::Voided => Self::Voided(entry),
            Kind::Refunded { refund_id } => Self::Refunded { entry, refund_id },
        }
    }
}

impl From<Record> for PaymentEvent {
    fn from(record: Record) -> Self {
        let (entry, kind) = match record {
            Record::Closed => return Self::Closed,
            Record::Authorized(entry) => (entry, Kind::Authorized),
            Record::Declined { entry, reason } => (entry, Kind::Declined { reason }),
            Record::Captured(entry) => (entry, Kind::Captured),
            Record::Voided(entry) => (entry, Kind::Voided),
            Record::Refunded { entry, refund_id } => (entry, Kind::Refunded { refund_id }),
        };
        Self::Entered(Event {
            payment_id: entry.payment_id,
            account_id: entry.account_id,
            currency_code: entry.currency_code,
            kind,
            amount_minor: entry.amount_minor,
            effective_at: entry.effective_at,
        })
    }
}
