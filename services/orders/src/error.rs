//! Errors of the service, their gRPC status, and their effect on an event.

use chassis::error::{Fault, internal};
use events::HandlerError;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::model::State;

/// Why a call, a step or an event failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No order has this id.
    #[error("no order {0}")]
    UnknownOrder(Uuid),
    /// The id is no id.
    #[error("{0:?} is no order id")]
    NoOrderId(String),
    /// The time is no time that a calendar has.
    #[error("{field}: {value:?} is no local time such as 2010-12-01T08:26:00")]
    NoLocalTime {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The request id was used before with other content.
    #[error("order {0:?} was placed before with other content")]
    InvoiceChanged(String),
    /// The total exceeds 64 bits.
    #[error("the order's total exceeds what 64 bits hold")]
    TotalOverflow,
    /// The order is confirmed or at its end.
    #[error("order {0} can't be cancelled any more: it is {state}", state = .1.name())]
    TooLateToCancel(Uuid, State),
    /// Another runner has claimed the saga.
    #[error("another runner has claimed saga {0}")]
    LostLease(Uuid),
    /// A stored value that no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A fact could not be written into the outbox.
    #[error("outbox")]
    Outbox(#[from] events::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason, field) = match &error {
            Error::UnknownOrder(_) => (Code::NotFound, "ORDER_NOT_FOUND", None),
            Error::NoOrderId(_) => (Code::InvalidArgument, "INVALID_FIELD", Some("orderId")),
            Error::NoLocalTime { field, .. } => {
                (Code::InvalidArgument, "INVALID_FIELD", Some(*field))
            }
            Error::InvoiceChanged(_) => (Code::AlreadyExists, "INVOICE_CHANGED", None),
            Error::TotalOverflow => (Code::InvalidArgument, "TOTAL_OVERFLOW", Some("lines")),
            Error::TooLateToCancel(..) => (Code::FailedPrecondition, "ORDER_NOT_PENDING", None),
            Error::LostLease(_) | Error::Corrupt(_) | Error::Database(_) | Error::Outbox(_) => {
                return internal(error).into();
            }
        };
        let fault = Fault::new(code, reason, error.to_string());
        match field {
            Some(field) => fault.violation(field, error.to_string()).into(),
            None => fault.into(),
        }
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(_) | Error::Outbox(_) | Error::LostLease(_) => Self::transient(error),
            other => Self::poison(other.to_string()),
        }
    }
}
