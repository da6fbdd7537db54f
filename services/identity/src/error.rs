//! Errors of the service, and their gRPC status.

use chassis::error::internal;

use crate::model::RandomError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client has this ID.
    #[error("no client {0:?}")]
    UnknownClient(String),
    /// A client has this ID.
    #[error("a client {0:?} exists")]
    ClientExists(String),
    /// The client is disabled.
    #[error("the client {0:?} is disabled")]
    ClientDisabled(String),
    /// No API key has this ID.
    #[error("no API key {0:?}")]
    UnknownKey(String),
    /// An API key has this ID.
    #[error("an API key {0:?} exists")]
    KeyExists(String),
    /// The API key is revoked.
    #[error("the API key {0:?} is revoked")]
    KeyRevoked(String),
    /// A role that stands for processes.
    #[error("the role {0:?} is reserved for processes of the mesh")]
    ReservedRole(String),
    /// A time that can't be stored.
    #[error("{0} is not a valid time")]
    InvalidTime(&'static str),
    /// More revocations than gateways keep.
    #[error("too many revocations are in effect")]
    TooManyRevocations,
    /// No key signs, or the one that does can't be used.
    #[error("no key to sign with")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// No key signs yet.
    #[error("no key signs yet")]
    NoKey,
    /// A stored value that no version of this service writes.
    #[error("unreadable value in {0}")]
    Corrupt(&'static str),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

chassis::faults! {
    Error {
        Error::UnknownClient(_) => NotFound, "CLIENT_NOT_FOUND";
        Error::ClientExists(_) => AlreadyExists, "CLIENT_EXISTS";
        Error::ClientDisabled(_) => FailedPrecondition, "CLIENT_DISABLED";
        Error::UnknownKey(_) => NotFound, "API_KEY_NOT_FOUND";
        Error::KeyExists(_) => AlreadyExists, "API_KEY_EXISTS";
        Error::KeyRevoked(_) => FailedPrecondition, "API_KEY_REVOKED";
        Error::ReservedRole(_) => InvalidArgument, "ROLE_RESERVED", field: "roles";
        Error::InvalidTime(field) => InvalidArgument, "INVALID_FIELD", field: field;
        Error::TooManyRevocations => ResourceExhausted, "TOO_MANY_REVOCATIONS";
    } else {
        error @ (Error::Signing(_) | Error::NoKey | Error::Corrupt(_) | Error::Random(_)) =>
            internal(error);
        Error::Database(error) => store::fault(error);
    }
}
