//! Errors of the service and their gRPC status.

use chassis::error::{Fault, internal};
use tonic::{Code, Status};

use crate::model::Refusal;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No call ever named this payment.
    #[error("no payment {0:?}")]
    UnknownPayment(String),
    /// No payment of this account was ever requested.
    #[error("no account {0:?}")]
    UnknownAccount(String),
    /// The rules refuse the change of this payment.
    #[error("payment {0:?}: {1}")]
    Refused(String, Refusal),
    /// Not a valid calendar date and time.
    #[error("{0} is no date and time of the calendar")]
    NoSuchTime(&'static str),
    /// A stored value that no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let (code, reason) = match &error {
            Error::UnknownPayment(_) => (Code::NotFound, "PAYMENT_NOT_FOUND"),
            Error::UnknownAccount(_) => (Code::NotFound, "ACCOUNT_NOT_FOUND"),
            Error::Refused(_, refusal) => refused(refusal),
            Error::NoSuchTime(_) => (Code::InvalidArgument, "NO_SUCH_TIME"),
            Error::Corrupt(_) | Error::Database(_) => return internal(error).into(),
        };
        let fault = Fault::new(code, reason, &message);
        match error {
            Error::Refused(_, Refusal::Currency(_)) => fault.violation("currencyCode", message),
            Error::NoSuchTime(field) => fault.violation(field, message),
            _ => fault,
        }
        .into()
    }
}

fn refused(refusal: &Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::Unknown => (Code::NotFound, "PAYMENT_NOT_FOUND"),
        Refusal::PaymentChanged => (Code::AlreadyExists, "PAYMENT_CHANGED"),
        Refusal::Currency(_) => (Code::FailedPrecondition, "CURRENCY_NOT_SUPPORTED"),
        Refusal::NotAuthorized(_) => (Code::FailedPrecondition, "PAYMENT_NOT_AUTHORIZED"),
        Refusal::Captured => (Code::FailedPrecondition, "PAYMENT_CAPTURED"),
        Refusal::NotCaptured(_) => (Code::FailedPrecondition, "PAYMENT_NOT_CAPTURED"),
        Refusal::RefundChanged => (Code::AlreadyExists, "REFUND_CHANGED"),
        Refusal::RefundExceeds { .. } => (Code::FailedPrecondition, "REFUND_EXCEEDS_CAPTURE"),
    }
}
