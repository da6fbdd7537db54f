//! The events of an account, their postings, and the payments that follow from them.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;

use super::{Authorization, Payment, State};

/// A fact about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The payment that it belongs to.
    pub payment_id: String,
    /// Customer or guest account whose history it is in.
    pub account_id: String,
    /// ISO 4217.
    pub currency_code: String,
    /// Kind of the fact.
    pub kind: Kind,
    /// Minor units, greater than 0.
    pub amount_minor: i64,
    /// Local civil time of the business fact.
    pub effective_at: NaiveDateTime,
}

/// The kind of a fact about a payment; [`EventType`] is its name in the database.
#[derive(Clone, Debug, PartialEq, Eq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventType),
    derive(strum::EnumString, strum::IntoStaticStr),
    strum(serialize_all = "SCREAMING_SNAKE_CASE"),
    doc = "The type of an event, without what is told with it."
)]
pub enum Kind {
    /// A hold was placed.
    Authorized,
    /// A hold was refused.
    Declined {
        /// Stable, such as LIMIT_EXCEEDED.
        reason: String,
    },
    /// The hold became a payment.
    Captured,
    /// The hold was voided.
    Voided,
    /// Money was refunded.
    Refunded {
        /// Idempotency key.
        refund_id: String,
    },
}

/// The accounts of the ledger; the README describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum LedgerAccount {
    /// Memorandum: amounts held for the customer's payments.
    Holds,
    /// Memorandum: the contra account of `Holds`.
    Authorizations,
    /// Asset: money received.
    Cash,
    /// Income: captured amounts.
    Revenue,
    /// Contra income: refunded amounts.
    Refunds,
}

/// One side of an entry in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The account that it is booked on.
    pub ledger_account: LedgerAccount,
    /// Minor units: a debit is positive, a credit negative.
    pub amount_minor: i64,
}

/// Returns the payments that follow from a history, by id; `None` if the history is impossible.
pub fn replay<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> Option<BTreeMap<String, Payment>> {
    let mut payments = BTreeMap::new();
    for event in events {
        let payment = event.apply(payments.remove(&event.payment_id))?;
        payments.insert(event.payment_id.clone(), payment);
    }
    Some(payments)
}

// === impl Event ===

impl Event {
    /// Returns both sides of every entry of the event: they sum to zero.
    pub fn postings(&self) -> Vec<Posting> {
        use LedgerAccount::{Authorizations, Cash, Holds, Refunds, Revenue};
        let entries: &[(LedgerAccount, LedgerAccount)] = match self.kind {
            Kind::Authorized => &[(Holds, Authorizations)],
            Kind::Declined { .. } => &[],
            Kind::Captured => &[(Authorizations, Holds), (Cash, Revenue)],
            Kind::Voided => &[(Authorizations, Holds)],
            Kind::Refunded { .. } => &[(Refunds, Cash)],
        };
        let post = |ledger_account, amount_minor| Posting {
            ledger_account,
            amount_minor,
        };
        entries
            .iter()
            .flat_map(|&(debit, credit)| {
                [
                    post(debit, self.amount_minor),
                    post(credit, -self.amount_minor),
                ]
            })
            .collect()
    }

    /// Returns the payment after the event; `None` if the event can't follow.
    pub(super) fn apply(&self, before: Option<Payment>) -> Option<Payment> {
        let Some(payment) = before else {
            return self.first();
        };
        let held = payment.authorization.as_ref()?;
        if held.account_id != self.account_id || held.currency_code != self.currency_code {
            return None;
        }
        let whole = self.amount_minor == held.amount_minor;
        let left_minor = payment.captured_minor - payment.refunded_minor;
        match (payment.state, &self.kind) {
            (State::Authorized, Kind::Captured) if whole => Some(Payment {
                state: State::Captured,
                captured_minor: self.amount_minor,
                ..payment
            }),
            (State::Authorized, Kind::Voided) if whole => Some(Payment {
                state: State::Voided,
                ..payment
            }),
            (State::Captured, Kind::Refunded { .. }) if self.amount_minor <= left_minor => {
                Some(Payment {
                    refunded_minor: payment.refunded_minor + self.amount_minor,
                    ..payment
                })
            }
            _ => None,
        }
    }

    fn first(&self) -> Option<Payment> {
        let (state, decline_reason) = match &self.kind {
            Kind::Authorized => (State::Authorized, None),
            Kind::Declined { reason } => (State::Declined, Some(reason.clone())),
            _ => return None,
        };
        let authorization = Authorization {
            account_id: self.account_id.clone(),
            currency_code: self.currency_code.clone(),
            amount_minor: self.amount_minor,
            effective_at: self.effective_at,
        };
        let closed = Payment::closed(&self.payment_id);
        Some(Payment {
            state,
            authorization: Some(authorization),
            decline_reason,
            ..closed
        })
    }
}

// === impl Kind ===

impl Kind {
    /// Returns the kind of that type with its details; `None` if they don't belong together.
    pub fn of(
        r#type: EventType,
        reason: Option<String>,
        refund_id: Option<String>,
    ) -> Option<Self> {
        match (r#type, reason, refund_id) {
            (EventType::Authorized, None, None) => Some(Self::Authorized),
            (EventType::Declined, Some(reason), None) => Some(Self::Declined { reason }),
            (EventType::Captured, None, None) => Some(Self::Captured),
            (EventType::Voided, None, None) => Some(Self::Voided),
            (EventType::Refunded, None, Some(refund_id)) => Some(Self::Refunded { refund_id }),
            _ => None,
        }
    }

    /// Returns why a hold was declined.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Declined { reason } => Some(reason),
            _ => None,
        }
    }

    /// Returns the idempotency key of a refund.
    pub fn refund_id(&self) -> Option<&str> {
        match self {
            Self::Refunded { refund_id } => Some(refund_id),
            _ => None,
        }
    }
}
