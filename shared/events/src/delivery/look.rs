//! Looks at stream and consumer from time to time: for coverage, and for the metrics of its lag.

use async_nats::jetstream::consumer;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use chrono::Utc;
use facts::error::Error;
use facts::subject;

use super::coverage::{self, Look};
use super::settle::Settler;

// === impl Settler ===

impl Settler {
    /// Records how much of the stream the consumer has seen, and shows how far it is behind.
    pub(super) async fn look(&self, is_rereading: bool) {
        if let Err(error) = self.try_look(is_rereading).await {
            // The pull notices an outage; the next look reports what this one would have.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "no look at the stream"
            );
        }
    }

    async fn try_look(&self, is_rereading: bool) -> Result<(), Error> {
        let stream = self.stream.get_info().await;
        let stream = stream.map_err(|error| Error::jetstream("reading the stream", error))?;
        let name = self.consumer.durable_name();
        let consumer = self.stream.consumer_info(name).await;
        let consumer = consumer.map_err(|error| Error::jetstream("reading the consumer", error))?;
        let mut look = Look::new(&stream, &consumer);
        if is_rereading {
            look = look.rereading();
        }
        let lost = coverage::record(&self.pool, &self.consumer.name, &look, &self.settings).await?;
        let lost = lost.map_or(0, |(from, to)| to + 1 - from);
        self.metrics.lost.set(lost.cast_signed());
        let unsettled = consumer.num_pending + consumer.num_ack_pending as u64;
        self.metrics.pending.set(unsettled.cast_signed());
        let age = match unsettled {
            0 => 0.0,
            _ => self.oldest_age(&consumer).await?,
        };
        self.metrics.age.set(age);
        Ok(())
    }

    /// Returns the age in seconds of the first message that is not acknowledged.
    async fn oldest_age(&self, consumer: &consumer::Info) -> Result<f64, Error> {
        let oldest = self
            .stream
            .raw_message_builder()
            .sequence(consumer.ack_floor.stream_sequence + 1)
            .next_by_subject(subject::filter(
                &self.consumer.context,
                &self.consumer.aggregate,
            ))
            .send()
            .await;
        match oldest {
            Ok(message) => {
                let stored = message.time.unix_timestamp_nanos() / 1_000_000;
                let age = i128::from(Utc::now().timestamp_millis()) - stored;
                Ok((age.max(0) as f64) / 1000.0)
            }
            // It was settled in the meantime.
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0.0),
            Err(error) => Err(Error::jetstream("reading a message", error)),
        }
    }
}
