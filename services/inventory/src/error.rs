//! Errors of the service and their gRPC status.

use chassis::error::{Fault, internal};
use tonic::{Code, Status};

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
    #[error("quantities of one sku add up to too much")]
    TooMany,
    /// The database holds what no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = match &error {
            Error::UnknownSku(_) => (Code::NotFound, "STOCK_NOT_FOUND"),
            Error::UnknownReservation(_) => (Code::NotFound, "RESERVATION_NOT_FOUND"),
            Error::ReservationChanged(_) => (Code::AlreadyExists, "RESERVATION_CHANGED"),
            Error::CountChanged(_) => (Code::AlreadyExists, "COUNT_CHANGED"),
            Error::ReturnChanged(_) => (Code::AlreadyExists, "RETURN_CHANGED"),
            Error::Refused(_, Refusal::Shipped) => {
                (Code::FailedPrecondition, "RESERVATION_SHIPPED")
            }
            Error::Refused(_, Refusal::NotHeld(_)) => {
                (Code::FailedPrecondition, "RESERVATION_NOT_HELD")
            }
            Error::TooMany => (Code::InvalidArgument, "QUANTITY_OVERFLOW"),
            Error::Corrupt(_) | Error::Database(_) => return internal(error).into(),
        };
        Fault::new(code, reason, error.to_string()).into()
    }
}
