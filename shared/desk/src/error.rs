//! Errors of the desk and their gRPC status.

use chassis::error::{Fault, internal};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no consumer {0:?}")]
    UnknownConsumer(String),
    #[error("a fact is discarded with a reason only")]
    NoReason,
    /// The request has passed no check of a token, so the caller is unknown.
    #[error("the caller is no operator")]
    NoOperator,
    #[error("{0}")]
    Broker(events::Error),
    #[error("{0}")]
    NotParked(events::Error),
    #[error("{0}")]
    NotStopped(events::Error),
    #[error("{0}")]
    OtherVersion(events::Error),
    #[error("{0}")]
    FactMissing(events::Error),
    #[error("{0}")]
    NothingMissing(events::Error),
    #[error("{0}")]
    StoppedKeys(events::Error),
    #[error("no instance {0} of saga {1}")]
    UnknownSaga(String, String),
    #[error("instance {0} of saga {1} needs no operator")]
    NotStuck(String, String),
    #[error("the saga is at step {0:?}")]
    OtherStep(String),
    #[error("the process has no step {step:?} in version {definition} of saga {name}")]
    StepNotServed {
        name: String,
        definition: i32,
        step: String,
    },
    #[error("invalid pageToken")]
    PageToken,
    #[error("malformed sagaId")]
    SagaId,
    #[error("events")]
    Events(#[source] events::Error),
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<events::Error> for Error {
    fn from(error: events::Error) -> Self {
        match error {
            events::Error::JetStream { .. } => Self::Broker(error),
            events::Error::NotParked { .. } => Self::NotParked(error),
            events::Error::NotStopped { .. } => Self::NotStopped(error),
            events::Error::OtherVersion { .. } => Self::OtherVersion(error),
            events::Error::FactMissing { .. } => Self::FactMissing(error),
            events::Error::NothingMissing { .. } => Self::NothingMissing(error),
            events::Error::StoppedKeys { .. } => Self::StoppedKeys(error),
            events::Error::Database(error) => Self::Database(error),
            other => Self::Events(other),
        }
    }
}

chassis::faults! {
    Error {
        Error::UnknownConsumer(_) => NotFound, "CONSUMER_NOT_FOUND";
        Error::NoReason => InvalidArgument, "INVALID_FIELD", field: "reason";
        Error::Broker(_) => Unavailable, "BROKER_UNAVAILABLE";
        Error::NotParked(_) => NotFound, "KEY_NOT_PARKED";
        Error::NotStopped(_) => NotFound, "KEY_NOT_STOPPED";
        Error::OtherVersion(_) => Aborted, "OTHER_VERSION";
        Error::FactMissing(_) => FailedPrecondition, "FACT_MISSING";
        Error::NothingMissing(_) => FailedPrecondition, "NOTHING_MISSING";
        Error::StoppedKeys(_) => FailedPrecondition, "KEYS_STOPPED";
        Error::UnknownSaga(..) => NotFound, "SAGA_NOT_FOUND";
        Error::NotStuck(..) => FailedPrecondition, "SAGA_NOT_STUCK";
        Error::OtherStep(_) => Aborted, "OTHER_STEP";
        Error::StepNotServed { .. } => FailedPrecondition, "STEP_NOT_SERVED";
        Error::PageToken => InvalidArgument, "INVALID_FIELD", field: "pageToken";
        Error::SagaId => InvalidArgument, "INVALID_FIELD", field: "sagaId";
    } else {
        error @ Error::NoOperator => internal(error);
        Error::Events(error) => Fault::from(error);
        Error::Database(error) => store::fault(error);
    }
}
