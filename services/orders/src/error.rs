//! Errors of the service, their gRPC status, and their effect on an event.

use chassis::error::internal;
use events::HandlerError;
use uuid::Uuid;

use crate::model::State;

/// Why a call, a step or an event failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No order has this id.
    #[error("no order {0}")]
    UnknownOrder(Uuid),
    /// Malformed id.
    #[error("malformed order id {0:?}")]
    InvalidOrderId(String),
    /// Not a valid calendar date and time.
    #[error("{field}: {value:?} is not a valid local time such as 2010-12-01T08:26:00")]
    InvalidTime {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The request id was used before with other content.
    #[error("order {request_id:?} was placed before with other content")]
    OrderChanged {
        /// The request id.
        request_id: String,
        /// The order that it names.
        order_id: Uuid,
    },
    /// The total exceeds 64 bits.
    #[error("the order's total exceeds 64 bits")]
    TotalOverflow,
    /// The order is confirmed or at its end.
    #[error("order {0} can't be cancelled any more: it is {1}")]
    TooLateToCancel(Uuid, State),
    /// A stored value that no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// No change of an order has this token.
    #[error("historyToken: no token that PlaceOrder or CancelOrder returned")]
    UnknownToken,
    /// The history did not reach the caller's token in time.
    #[error("the history has not reached historyToken yet; try again")]
    HistoryBehind,
    /// The changes of an order can't be recorded or read.
    #[error("changes of an order")]
    Changes(#[source] eventsourcing::Error),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A fact could not be written into the outbox.
    #[error("outbox")]
    Outbox(#[from] events::Error),
}

chassis::faults! {
    Error {
        Error::UnknownOrder(_) => NotFound, "ORDER_NOT_FOUND";
        Error::InvalidOrderId(_) => InvalidArgument, "INVALID_FIELD", field: "orderId";
        Error::InvalidTime { field, .. } => InvalidArgument, "INVALID_FIELD", field: field;
        Error::OrderChanged { .. } => AlreadyExists, "ORDER_CHANGED";
        Error::TotalOverflow => InvalidArgument, "TOTAL_OVERFLOW", field: "lines";
        Error::UnknownToken => InvalidArgument, "INVALID_FIELD", field: "historyToken";
        Error::HistoryBehind => Unavailable, "HISTORY_BEHIND";
        Error::TooLateToCancel(..) => FailedPrecondition, "ORDER_NOT_PENDING";
    } else {
        error @ (Error::Corrupt(_) | Error::Changes(_)) => internal(error);
        Error::Database(error) => store::fault(error);
        Error::Outbox(error) => error.into();
    }
}

impl From<eventsourcing::Error> for Error {
    fn from(error: eventsourcing::Error) -> Self {
        match error {
            eventsourcing::Error::Database(error) => Self::Database(error),
            other => Self::Changes(other),
        }
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Outbox(error) => error.into(),
            other => Self::poison(other.to_string()),
        }
    }
}
