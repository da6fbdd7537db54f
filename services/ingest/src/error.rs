//! Errors of the service and their gRPC status.

use chassis::error::{Fault, internal};
use tonic::{Code, Status};

use crate::model::MissingColumn;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mapping declares this source.
    #[error("no source {0:?} is declared")]
    UnknownSource(String),
    /// No import has this id.
    #[error("no import {0:?}")]
    UnknownImport(String),
    /// The request_id was used before for another file.
    #[error("request_id {0:?} was used for another file")]
    ImportChanged(String),
    /// The upload does not begin where the durable rows end.
    #[error("the upload begins at byte {offset}, the import goes on at byte {received_bytes}")]
    OffsetMismatch {
        /// Where the upload begins.
        offset: i64,
        /// Where it should.
        received_bytes: i64,
    },
    /// A concurrent upload advanced the import.
    #[error("another upload of this import went on meanwhile")]
    UploadSuperseded,
    /// More bytes than the import has.
    #[error("the upload goes beyond the import's {0} bytes")]
    TooManyBytes(i64),
    /// The upload was idle for so many seconds.
    #[error("the upload sent nothing for {0} s")]
    UploadIdle(u64),
    /// The stream has no message.
    #[error("the upload has no first message")]
    EmptyUpload,
    /// The file can't be read by its source's mapping.
    #[error("{0}")]
    Header(#[from] MissingColumn),
    /// A configured bound is reached.
    #[error("too many {0} at once")]
    TooMany(&'static str),
    /// The process is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A fact could not be written into the outbox.
    #[error("publishing")]
    Publish(#[from] events::Error),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = match &error {
            Error::UnknownSource(_) => (Code::NotFound, "SOURCE_NOT_FOUND"),
            Error::UnknownImport(_) => (Code::NotFound, "IMPORT_NOT_FOUND"),
            Error::ImportChanged(_) => (Code::AlreadyExists, "IMPORT_CHANGED"),
            Error::OffsetMismatch { .. } => (Code::Aborted, "OFFSET_MISMATCH"),
            Error::UploadSuperseded => (Code::Aborted, "UPLOAD_SUPERSEDED"),
            Error::UploadIdle(_) => (Code::Aborted, "UPLOAD_IDLE"),
            Error::TooManyBytes(_) => (Code::InvalidArgument, "TOO_MANY_BYTES"),
            Error::EmptyUpload => (Code::InvalidArgument, "EMPTY_UPLOAD"),
            Error::Header(_) => (Code::FailedPrecondition, "COLUMN_MISSING"),
            Error::TooMany(_) => (Code::ResourceExhausted, "TOO_MANY_CALLS"),
            Error::Stopping => (Code::Unavailable, "STOPPING"),
            Error::Publish(_) | Error::Database(_) => return internal(error).into(),
        };
        let fault = Fault::new(code, reason, error.to_string());
        match &error {
            Error::OffsetMismatch { received_bytes, .. } => fault
                .metadata("received_bytes", received_bytes.to_string())
                .into(),
            Error::Header(MissingColumn(column)) => fault.metadata("column", column).into(),
            _ => fault.into(),
        }
    }
}
