//! Errors of the service, their gRPC status, and their effect on an event.

use chassis::error::internal;
use events::HandlerError;

use crate::model::Refusal;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No call ever named this payment.
    #[error("no payment {0:?}")]
    UnknownPayment(String),
    /// No payment of this account was ever requested. Accounts are personal.
    #[error("no payment of this account was ever requested")]
    UnknownAccount,
    /// The rules refuse the change of this payment.
    #[error("payment {0:?}: {1}")]
    Refused(String, Refusal),
    /// Not a valid calendar date and time.
    #[error("{0} is not a valid date and time")]
    NoSuchTime(&'static str),
    /// A stored value that no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// A concurrent call used an id first; an event is applied again.
    #[error("a concurrent call used an id first")]
    Contended,
    /// Events of a payment can't be appended or read.
    #[error("events of a payment")]
    Events(#[source] eventsourcing::Error),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

chassis::faults! {
    Error {
        Error::UnknownPayment(_) => NotFound, "PAYMENT_NOT_FOUND";
        Error::UnknownAccount => NotFound, "ACCOUNT_NOT_FOUND";
        Error::NoSuchTime(field) => InvalidArgument, "NO_SUCH_TIME", field: field;
        Error::Refused(_, Refusal::Unknown) => NotFound, "PAYMENT_NOT_FOUND";
        Error::Refused(_, Refusal::PaymentChanged) => AlreadyExists, "PAYMENT_CHANGED";
        Error::Refused(_, Refusal::Currency(_)) =>
            FailedPrecondition, "CURRENCY_NOT_SUPPORTED", field: "currencyCode";
        Error::Refused(_, Refusal::NotAuthorized(_)) => FailedPrecondition, "PAYMENT_NOT_AUTHORIZED";
        Error::Refused(_, Refusal::Captured) => FailedPrecondition, "PAYMENT_CAPTURED";
        Error::Refused(_, Refusal::NotCaptured(_)) => FailedPrecondition, "PAYMENT_NOT_CAPTURED";
        Error::Refused(_, Refusal::RefundChanged) => AlreadyExists, "REFUND_CHANGED";
        Error::Refused(_, Refusal::RefundExceeds { .. }) =>
            FailedPrecondition, "REFUND_EXCEEDS_CAPTURE";
    } else {
        error @ (Error::Corrupt(_) | Error::Contended | Error::Events(_)) => internal(error);
        Error::Database(error) => store::fault(error);
    }
}

impl From<eventsourcing::Error> for Error {
    fn from(error: eventsourcing::Error) -> Self {
        match error {
            eventsourcing::Error::Database(error) => Self::Database(error),
            eventsourcing::Error::Conflict { .. } => Self::Contended,
            other => Self::Events(other),
        }
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(_) | Error::Contended => Self::transient(error),
            other => Self::poison(other.to_string()),
        }
    }
}
