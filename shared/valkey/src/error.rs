//! Why a command has no answer.

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection: the circuit is open. Nothing was sent.
    #[error("the store is away")]
    Away,
    /// The connection broke, or the answer did not come in time. The server may have acted.
    #[error("the store did not answer")]
    Lost,
    /// The server answered with an error, such as one without memory, or with something else than
    /// expected.
    #[error("the store refused the command: {0}")]
    Refused(#[source] redis::RedisError),
}

// === impl Error ===

impl Error {
    /// Returns whether the store is to blame and not the command: it is away, late or broken.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Away | Self::Lost)
    }
}
