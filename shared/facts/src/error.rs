//! Errors outside of handlers.

/// Errors of publishing, connecting, relaying and parking.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or out of range.
    #[error("config key events.{key}: {reason}")]
    Config {
        /// The key below `[events]`.
        key: &'static str,
        /// The expected value.
        reason: &'static str,
    },
    /// The fact has no key, or one that makes a subject too long.
    #[error("the key of {fact} has {bytes} bytes, allowed are 1 to {max}")]
    Key {
        /// Full name of the message.
        fact: &'static str,
        /// Length of the key.
        bytes: usize,
        /// The longest key allowed.
        max: usize,
    },
    /// The encoded fact is larger than a NATS server accepts by default.
    #[error("{fact} has {bytes} bytes, allowed are {max}: publish a reference to large data")]
    TooLarge {
        /// Full name of the message.
        fact: &'static str,
        /// Encoded length.
        bytes: usize,
        /// The largest payload allowed.
        max: usize,
    },
    /// The NATS server could not be reached in time.
    #[error("cannot connect to the NATS server at {url}")]
    Connect {
        /// The configured address.
        url: String,
        /// The last failure.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The NATS server would silently ignore required settings.
    #[error("the NATS server is version {found}, needed is {needed} or newer")]
    ServerTooOld {
        /// The server's version.
        found: String,
        /// The oldest version that works.
        needed: &'static str,
    },
    /// The NATS server accepts only smaller messages than facts may be.
    #[error("the NATS server's max_payload is {found} bytes, needed are {needed}")]
    MaxPayload {
        /// The server's value.
        found: usize,
        /// The largest payload with its headers.
        needed: usize,
    },
    /// The NATS server has no JetStream, or not for this account.
    #[error("the NATS server has no JetStream for this account")]
    NoJetStream(#[source] async_nats::Error),
    /// A stream or consumer exists with incompatible settings, or the server did not keep the
    /// requested ones.
    #[error("{name}: {field} is {found}, expected {expected}")]
    Mismatch {
        /// The stream or consumer.
        name: String,
        /// The field of its configuration.
        field: &'static str,
        /// Its value on the server.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// JetStream rejected a request or did not answer.
    #[error("{action} failed")]
    JetStream {
        /// The action.
        action: &'static str,
        /// The client's error.
        #[source]
        source: async_nats::Error,
    },
    /// The name of a consumer has other characters than lower-case letters, digits, dots and
    /// hyphens.
    #[error("consumer name {0:?} may hold only a-z, 0-9, '.' and '-'")]
    ConsumerName(String),
    /// Nothing is parked under this consumer and key.
    #[error("nothing is parked for consumer {consumer} under key {key:?}")]
    NotParked {
        /// Name of the consumer.
        consumer: String,
        /// The key.
        key: String,
    },
    /// Another fact of the parked key is the first now.
    #[error("the first parked fact under key {key:?} is version {first}")]
    OtherVersion {
        /// The key.
        key: String,
        /// Version of its first parked fact.
        first: i64,
    },
    /// There is nothing to discard: a version before the parked facts is missing.
    #[error("version {version} under key {key:?} is missing: it can be skipped, not discarded")]
    FactMissing {
        /// The key.
        key: String,
        /// The missing version.
        version: i64,
    },
    /// There is nothing to skip: the first parked fact is the next one.
    #[error("no version is missing under key {key:?}")]
    NothingMissing {
        /// The key.
        key: String,
    },
    /// No key of this name is stopped.
    #[error("no facts of context {context} under key {key:?} are stopped")]
    NotStopped {
        /// Context of the facts.
        context: String,
        /// The key.
        key: String,
    },
    /// A stream can't be rebuilt while keys of its context are stopped.
    #[error("{keys} key(s) of context {context} are stopped: decide about them first")]
    StoppedKeys {
        /// Context of the facts.
        context: String,
        /// Stopped keys.
        keys: i64,
    },
    /// The stream does not have a message that it had acknowledged: its facts are published again.
    #[error("the stream has lost message {acknowledged}, which it had acknowledged")]
    StreamWentBack {
        /// Sequence of the message.
        acknowledged: u64,
    },
    /// The broker was connected to anew in the middle of a batch: it may have other messages.
    #[error("another connection to the broker")]
    Reconnected,
    /// Another process has taken over the outbox of this database.
    #[error("another relay has taken over the outbox")]
    LeaseLost,
    /// The database rejected a statement or did not answer.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Returns the error of an action that JetStream refused or did not answer.
    pub fn jetstream(action: &'static str, source: impl Into<async_nats::Error>) -> Self {
        Self::JetStream {
            action,
            source: source.into(),
        }
    }
}

impl From<Error> for chassis::error::Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => store::fault(error),
            other => chassis::error::internal(other),
        }
    }
}
