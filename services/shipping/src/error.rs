//! Errors of the service, their gRPC status, and their effect on an event.

use events::HandlerError;
use uuid::Uuid;

/// Why a call or an event failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No paid order with goods has this id.
    #[error("no parcel of order {0}")]
    UnknownParcel(Uuid),
    /// Malformed id.
    #[error("malformed order id {0:?}")]
    InvalidOrderId(String),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A fact could not be written into the outbox.
    #[error("outbox")]
    Outbox(#[from] events::Error),
}

chassis::faults! {
    Error {
        Error::UnknownParcel(_) => NotFound, "PARCEL_NOT_FOUND";
        Error::InvalidOrderId(_) => InvalidArgument, "INVALID_FIELD", field: "orderId";
    } else {
        Error::Database(error) => store::fault(error);
        Error::Outbox(error) => error.into();
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(_) | Error::Outbox(_) => Self::transient(error),
            other => Self::poison(other.to_string()),
        }
    }
}
