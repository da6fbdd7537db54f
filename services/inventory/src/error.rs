//! Errors of the service, their gRPC status, and their effect on an event.

use events::HandlerError;

use crate::model::Refusal;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No count ever named this SKU.
    #[error("no stock of sku {0:?} was ever counted")]
    UnknownSku(String),
    /// No call ever named this reservation.
    #[error("no reservation {0:?}")]
    UnknownReservation(String),
    /// The id was used before with other lines.
    #[error("reservation {0:?} exists with other lines")]
    ReservationChanged(String),
    /// The id was used before for another count.
    #[error("request_id {0:?} was used for another count")]
    CountChanged(String),
    /// The id was used before for other lines.
    #[error("return {0:?} exists with other lines")]
    ReturnChanged(String),
    /// The reservation's state does not allow the transition.
    #[error("reservation {0:?} can't change: {1}")]
    Refused(String, Refusal),
    /// The quantities of one SKU add up to more than 64 bits.
    #[error("the quantities of one sku exceed 64 bits")]
    TooMany,
    /// A batch with more lines than one transaction carries.
    #[error("{0} lines, at most {max} in one batch", max = crate::model::MAX_BATCH_LINES)]
    TooManyLines(usize),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

chassis::faults! {
    Error {
        Error::UnknownSku(_) => NotFound, "STOCK_NOT_FOUND";
        Error::UnknownReservation(_) => NotFound, "RESERVATION_NOT_FOUND";
        Error::ReservationChanged(_) => AlreadyExists, "RESERVATION_CHANGED";
        Error::CountChanged(_) => AlreadyExists, "COUNT_CHANGED";
        Error::ReturnChanged(_) => AlreadyExists, "RETURN_CHANGED";
        Error::Refused(_, Refusal::Shipped) => FailedPrecondition, "RESERVATION_SHIPPED";
        Error::Refused(_, Refusal::NotHeld(_)) => FailedPrecondition, "RESERVATION_NOT_HELD";
        Error::TooMany => InvalidArgument, "QUANTITY_OVERFLOW";
        Error::TooManyLines(_) => InvalidArgument, "TOO_MANY_LINES", field: "requests";
    } else {
        Error::Database(error) => store::fault(error);
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(_) => Self::transient(error),
            other => Self::poison(other.to_string()),
        }
    }
}
