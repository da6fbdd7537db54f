//! How far a consumer is behind its stream.

use facts::error::Error;

use crate::bus::{Bus, stream};
use crate::consumer::Consumer;

/// How far a consumer is behind its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Messages that are not delivered yet.
    pub pending: u64,
    /// Messages that are delivered and not acknowledged.
    pub in_progress: u64,
    /// Sequence in the stream up to which all messages are acknowledged.
    pub acknowledged: u64,
}

// === impl Bus ===

impl Bus {
    /// Asks the server how far `consumer` is behind.
    ///
    /// # Errors
    /// The stream or the consumer does not exist yet, or the server does not answer.
    pub async fn lag(&self, consumer: &Consumer) -> Result<Lag, Error> {
        let stream = self
            .jetstream
            .get_stream_no_info(stream::name(&consumer.context))
            .await
            .map_err(|error| Error::jetstream("naming the stream", error))?;
        let info = stream
            .consumer_info(consumer.durable_name())
            .await
            .map_err(|error| Error::jetstream("reading the consumer", error))?;
        Ok(Lag {
            pending: info.num_pending,
            in_progress: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            acknowledged: info.ack_floor.stream_sequence,
        })
    }
}
