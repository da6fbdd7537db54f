//! Errors of the process's own API and their gRPC status.

use chassis::error::internal;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No file declares this source.
    #[error("source {0:?} is not configured")]
    UnknownSource(String),
    /// The record is not in quarantine.
    #[error("record {number} of unit {unit:?} is not in quarantine")]
    UnknownRecord {
        /// Its unit.
        unit: String,
        /// Its number in it.
        number: i64,
    },
    /// A page token that no page had.
    #[error("invalid page_token")]
    PageToken,
    /// A field of a stream's first message that is missing.
    #[error("{0}: not set in the first message")]
    NotSet(&'static str),
    /// A correction that is no record.
    #[error("the corrected record is not a JSON object: {0}")]
    InvalidRecord(String),
    /// A record without its decoded form.
    #[error("the record can't be decoded: replay it with a corrected record")]
    NotDecoded,
    /// The target of a replay does not answer.
    #[error("the service that gets the records does not answer: {0}")]
    TargetUnavailable(String),
    /// The stream has no message.
    #[error("the upload has no first message")]
    EmptyUpload,
    /// The upload does not begin where the durable bytes end.
    #[error("the upload starts at byte {offset}, {received_bytes} bytes are there")]
    OffsetMismatch {
        /// First byte of the upload.
        offset: i64,
        /// First byte that is missing.
        received_bytes: i64,
    },
    /// More bytes than allowed.
    #[error("the upload exceeds {0} bytes")]
    TooManyBytes(i64),
    /// The uploaded bytes are not those of the named digest.
    #[error("the file's SHA-256 is {found}, the upload was begun for {expected}")]
    ContentMismatch {
        /// As the caller named it.
        expected: String,
        /// Digest of the uploaded bytes.
        found: String,
    },
    /// No bytes for so many seconds.
    #[error("the upload was idle for {0} s")]
    UploadIdle(u64),
    /// Files that wait hold as many bytes as the process keeps.
    #[error("files that wait for the source would hold more than {0} bytes")]
    SpoolFull(i64),
    /// A configured bound is reached.
    #[error("too many uploads at once")]
    TooManyCalls,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
    /// A file of this machine failed.
    #[error("temporary file")]
    File(#[from] std::io::Error),
    /// A task of this process died.
    #[error("task died")]
    Task(#[from] tokio::task::JoinError),
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

chassis::faults! {
    Error {
        Error::UnknownSource(_) => NotFound, "SOURCE_NOT_FOUND";
        Error::UnknownRecord { .. } => NotFound, "RECORD_NOT_FOUND";
        Error::PageToken => InvalidArgument, "INVALID_FIELD", field: "page_token";
        Error::NotSet(field) => InvalidArgument, "INVALID_FIELD", field: field;
        Error::InvalidRecord(_) => InvalidArgument, "RECORD_INVALID", field: "record";
        Error::NotDecoded => FailedPrecondition, "RECORD_NOT_DECODED";
        Error::TargetUnavailable(_) => Unavailable, "TARGET_UNAVAILABLE";
        Error::EmptyUpload => InvalidArgument, "EMPTY_UPLOAD";
        Error::OffsetMismatch { received_bytes, .. } =>
            Aborted, "OFFSET_MISMATCH", metadata: "received_bytes" = received_bytes.to_string();
        Error::TooManyBytes(_) => InvalidArgument, "TOO_MANY_BYTES";
        Error::ContentMismatch { .. } => FailedPrecondition, "CONTENT_MISMATCH";
        Error::UploadIdle(_) => Aborted, "UPLOAD_IDLE";
        Error::SpoolFull(_) => ResourceExhausted, "SPOOL_FULL";
        Error::TooManyCalls => ResourceExhausted, "TOO_MANY_CALLS";
        Error::Stopping => Unavailable, "STOPPING";
    } else {
        Error::File(error) => internal(error);
        Error::Task(error) => internal(error);
        Error::Database(error) => ::store::fault(error);
    }
}
