//! Errors of the service and their gRPC status.

use chassis::error::internal;
use events::HandlerError;

use crate::model::{MissingColumn, OutOfOrder};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mapping declares this source.
    #[error("source {0:?} is not declared")]
    UnknownSource(String),
    /// No import has this id.
    #[error("no import {0:?}")]
    UnknownImport(String),
    /// The request_id was used before for another file.
    #[error("request_id {0:?} was used for a file of another size or SHA-256")]
    ImportChanged(String),
    /// The uploaded bytes are not those of the file that the import was created for.
    #[error("the file's SHA-256 is {found}, the import was created for {expected}")]
    ContentMismatch {
        /// As the import's caller named it.
        expected: String,
        /// Digest of the uploaded bytes.
        found: String,
    },
    /// The upload does not begin where the durable rows end.
    #[error("the upload starts at byte {offset}, the import resumes at byte {received_bytes}")]
    OffsetMismatch {
        /// First byte of the upload.
        offset: i64,
        /// First byte that is missing.
        received_bytes: i64,
    },
    /// A concurrent upload advanced the import.
    #[error("a concurrent upload advanced this import")]
    UploadSuperseded,
    /// Concurrent uploads accepted rows of the batch, again and again.
    #[error("concurrent uploads of the same rows overtook this one")]
    UploadOvertaken,
    /// A row comes after the last one of an import.
    #[error("the import ended with row {0}")]
    ImportEnded(i64),
    /// Row numbers do not increase.
    #[error("{0}")]
    RowsOutOfOrder(#[from] OutOfOrder),
    /// The stored rows of the open invoice can't be decoded.
    #[error("open rows of an import")]
    OpenRows(#[source] prost::DecodeError),
    /// More bytes than the import has.
    #[error("the upload exceeds the import's {0} bytes")]
    TooManyBytes(i64),
    /// The upload was idle for so many seconds.
    #[error("the upload was idle for {0} s")]
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
    /// The task that commits an upload ended without a result.
    #[error("the writer of the upload died")]
    WriterDied,
    /// A fact could not be written into the outbox.
    #[error("publishing")]
    Publish(#[from] events::Error),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

chassis::faults! {
    Error {
        Error::UnknownSource(_) => NotFound, "SOURCE_NOT_FOUND";
        Error::UnknownImport(_) => NotFound, "IMPORT_NOT_FOUND";
        Error::ImportChanged(_) => AlreadyExists, "IMPORT_CHANGED";
        Error::OffsetMismatch { received_bytes, .. } =>
            Aborted, "OFFSET_MISMATCH", metadata: "received_bytes" = received_bytes.to_string();
        Error::UploadSuperseded | Error::UploadOvertaken => Aborted, "UPLOAD_SUPERSEDED";
        Error::ContentMismatch { .. } => FailedPrecondition, "CONTENT_MISMATCH";
        Error::ImportEnded(_) => FailedPrecondition, "IMPORT_ENDED";
        Error::RowsOutOfOrder(OutOfOrder { index, .. }) =>
            InvalidArgument, "ROWS_OUT_OF_ORDER", field: &format!("rows[{index}].number");
        Error::UploadIdle(_) => Aborted, "UPLOAD_IDLE";
        Error::TooManyBytes(_) => InvalidArgument, "TOO_MANY_BYTES";
        Error::EmptyUpload => InvalidArgument, "EMPTY_UPLOAD";
        Error::Header(MissingColumn(column)) =>
            FailedPrecondition, "COLUMN_MISSING", metadata: "column" = column;
        Error::TooMany(_) => ResourceExhausted, "TOO_MANY_CALLS";
        Error::Stopping => Unavailable, "STOPPING";
    } else {
        error @ (Error::WriterDied | Error::OpenRows(_)) => internal(error);
        Error::Publish(error) => error.into();
        Error::Database(error) => store::fault(error);
    }
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Publish(error) => error.into(),
            other => Self::transient(other),
        }
    }
}
