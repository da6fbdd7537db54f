//! Pure rules of payments and their ledger: every decision is made here.

mod book;
mod ledger;
mod record;
#[cfg(test)]
mod tests;

use chrono::{NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

pub use book::Book;
pub use ledger::{Event, EventType, Kind, LedgerAccount, Posting, replay};
pub use record::PaymentEvent;

/// Reason of a decline above the limit.
const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";

/// The limits that the operator sets.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Payments of a greater amount are declined; minor units.
    pub limit_minor: i64,
    /// The only accepted currency, ISO 4217.
    pub currency_code: String,
}

/// A payment: the aggregate that its events make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Chosen by the caller.
    pub id: String,
    /// State of the payment.
    pub state: State,
    /// The authorized or declined amount; none if the id was voided before it was authorized.
    pub authorization: Option<Authorization>,
    /// Only with DECLINED.
    pub decline_reason: Option<String>,
    /// Captured so far, in minor units: nothing or all.
    pub captured_minor: i64,
    /// Refunded so far, in minor units.
    pub refunded_minor: i64,
}

/// The state of a payment; its name is the one in the database.
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
    /// The amount is held.
    Authorized,
    /// Refused; nothing is held.
    Declined,
    /// The amount is captured.
    Captured,
    /// The hold was voided, or the id was closed before there was one.
    Voided,
}

/// A request to change a payment.
#[derive(Clone, Debug)]
pub struct Command {
    /// The payment.
    pub payment_id: String,
    /// The change.
    pub action: Action,
}

/// A change of a payment; its name is that of the method, as crash points name it.
#[derive(Clone, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// Hold the amount.
    Authorize(Authorization),
    /// Capture the hold, at this business time.
    Capture(NaiveDateTime),
    /// Void the hold.
    Void,
    /// Refund.
    Refund(Refund),
}

/// An amount to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Customer or guest account.
    pub account_id: String,
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units, greater than 0.
    pub amount_minor: i64,
    /// Local civil time.
    #[serde(with = "record::local_time")]
    pub effective_at: NaiveDateTime,
}

/// An amount to refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Idempotency key, unique over all payments.
    pub refund_id: String,
    /// Minor units, greater than 0.
    pub amount_minor: i64,
    /// Local civil time.
    pub effective_at: NaiveDateTime,
}

/// The balance of an account, in minor units.
#[derive(Clone, Debug)]
pub struct Balance {
    /// Authorized and neither captured nor voided.
    pub held_minor: i64,
    /// Captured less refunded.
    pub paid_minor: i64,
}

/// Totals of the ledger, in minor units.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The sum of all postings: 0 in a ledger that balances.
    pub ledger_sum_minor: i64,
    /// Days on which money moved, in order.
    pub days: Vec<Day>,
}

/// The money that moved on one business day, in minor units.
#[derive(Clone, Debug)]
pub struct Day {
    /// Date of the business facts.
    pub date: NaiveDate,
    /// Captured.
    pub captured_minor: i64,
    /// Refunded.
    pub refunded_minor: i64,
}

/// The ledger's state for the ids of a command.
#[derive(Clone, Debug, Default)]
pub struct LedgerState {
    /// The payment, if its id was ever used.
    pub payment: Option<Payment>,
    /// The event that bears the command's `refund_id`.
    pub refund: Option<Event>,
}

/// A command that the state of the payment does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No command ever named it.
    #[error("it does not exist")]
    Unknown,
    /// Its id was used before for another amount, account, currency or time.
    #[error("it exists with other content")]
    PaymentChanged,
    /// Only the policy's currency is accepted.
    #[error("only {0} is accepted")]
    Currency(String),
    /// Captured without a hold.
    #[error("nothing is held: it is {0}")]
    NotAuthorized(State),
    /// Voided after the capture.
    #[error("it is captured")]
    Captured,
    /// Refunded before the capture.
    #[error("nothing was captured: it is {0}")]
    NotCaptured(State),
    /// The `refund_id` was used before for another payment, amount or time.
    #[error("refund_id was used for another refund")]
    RefundChanged,
    /// More than is left of the captured amount.
    #[error("{available_minor} minor units are left to refund")]
    RefundExceeds {
        /// Captured less refunded.
        available_minor: i64,
    },
}

/// Decides what a command adds to the payment's events: nothing if it is repeated.
///
/// A known payment is answered without the policy: a new limit or currency doesn't change an
/// earlier answer.
pub fn decide(
    known: &LedgerState,
    command: &Command,
    policy: &Policy,
) -> Result<Option<PaymentEvent>, Refusal> {
    let entry = match (&command.action, &known.payment) {
        (Action::Authorize(asked), None) => policy.answer(&command.payment_id, asked).map(Some),
        (Action::Authorize(asked), Some(payment)) => payment.authorize(asked),
        (Action::Capture(at), Some(payment)) => payment.capture(*at),
        (Action::Void, Some(payment)) => payment.void(),
        (Action::Refund(asked), Some(payment)) => payment.refund(asked, known.refund.as_ref()),
        (Action::Void, None) => return Ok(Some(PaymentEvent::Closed)),
        (Action::Capture(_) | Action::Refund(_), None) => Err(Refusal::Unknown),
    };
    Ok(entry?.map(PaymentEvent::Entered))
}

// === impl Policy ===

impl Policy {
    /// Returns true if the currency has the form of an ISO 4217 code.
    pub fn has_currency(&self) -> bool {
        self.currency_code.len() == 3
            && self
                .currency_code
                .bytes()
                .all(|letter| letter.is_ascii_uppercase())
    }

    fn answer(&self, payment_id: &str, asked: &Authorization) -> Result<Event, Refusal> {
        if asked.currency_code != self.currency_code {
            return Err(Refusal::Currency(self.currency_code.clone()));
        }
        let kind = if asked.amount_minor > self.limit_minor {
            Kind::Declined {
                reason: LIMIT_EXCEEDED.to_owned(),
            }
        } else {
            Kind::Authorized
        };
        Ok(asked.event(payment_id, kind, asked.amount_minor, asked.effective_at))
    }
}

// === impl Payment ===

impl Payment {
    /// Creates a payment that was voided before it was authorized: a late authorization holds
    /// nothing.
    pub fn closed(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Voided,
            authorization: None,
            decline_reason: None,
            captured_minor: 0,
            refunded_minor: 0,
        }
    }

    fn authorize(&self, asked: &Authorization) -> Result<Option<Event>, Refusal> {
        match &self.authorization {
            Some(known) if known != asked => Err(Refusal::PaymentChanged),
            _ => Ok(None),
        }
    }

    fn capture(&self, at: NaiveDateTime) -> Result<Option<Event>, Refusal> {
        match (self.state, &self.authorization) {
            (State::Authorized, Some(held)) => Ok(Some(held.event(
                &self.id,
                Kind::Captured,
                held.amount_minor,
                at,
            ))),
            (State::Captured, _) => Ok(None),
            (state, _) => Err(Refusal::NotAuthorized(state)),
        }
    }

    /// Dates the event like the hold: at no business time is a voided amount held.
    fn void(&self) -> Result<Option<Event>, Refusal> {
        match (self.state, &self.authorization) {
            (State::Authorized, Some(held)) => Ok(Some(held.event(
                &self.id,
                Kind::Voided,
                held.amount_minor,
                held.effective_at,
            ))),
            (State::Captured, _) => Err(Refusal::Captured),
            _ => Ok(None),
        }
    }

    fn refund(&self, asked: &Refund, known: Option<&Event>) -> Result<Option<Event>, Refusal> {
        let (State::Captured, Some(paid)) = (self.state, &self.authorization) else {
            return Err(Refusal::NotCaptured(self.state));
        };
        let refund_id = asked.refund_id.clone();
        let event = paid.event(
            &self.id,
            Kind::Refunded { refund_id },
            asked.amount_minor,
            asked.effective_at,
        );
        let available_minor = self.captured_minor - self.refunded_minor;
        match known {
            Some(known) if *known == event => Ok(None),
            Some(_) => Err(Refusal::RefundChanged),
            None if asked.amount_minor > available_minor => {
                Err(Refusal::RefundExceeds { available_minor })
            }
            None => Ok(Some(event)),
        }
    }
}

// === impl Authorization ===

impl Authorization {
    fn event(
        &self,
        payment_id: &str,
        kind: Kind,
        amount_minor: i64,
        effective_at: NaiveDateTime,
    ) -> Event {
        Event {
            payment_id: payment_id.to_owned(),
            account_id: self.account_id.clone(),
            currency_code: self.currency_code.clone(),
            kind,
            amount_minor,
            effective_at,
        }
    }
}
