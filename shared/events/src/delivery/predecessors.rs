//! The versions before a message that came too early: in the stream, expired or lost.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use facts::envelope::Fact;
use facts::error::Error;
use futures::TryFutureExt as _;

use super::coverage::{self, Lost};
use super::settle::Settler;

/// Most facts that are read from the stream at once, before a message of their key.
const MAX_FOUND: usize = 64;

/// Whether the versions before a message are in the stream.
pub(super) enum Predecessors {
    /// The next ones, in order.
    Found(Vec<Fact>),
    Missing,
    /// Only the chain's beginning is missing, and it left the stream before the consumer joined:
    /// the chain begins with this fact, or with the message itself if none before it is left.
    Expired(Option<Fact>),
    /// The consumer has joined before they left the stream.
    Lost(Lost),
}

// === impl Settler ===

impl Settler {
    /// Reads the versions after `after` that the stream holds before `fact`.
    pub(super) async fn predecessors(
        &self,
        fact: &Fact,
        after: i64,
        sequence: u64,
    ) -> Result<Predecessors, Error> {
        let (mut found, mut earliest) = self.chain(fact, after, sequence + 1).await?;
        if found.is_empty() && after > 0 && sequence > 0 {
            // The stream may have gone back, and hold them under earlier sequences by now.
            (found, earliest) = self.chain(fact, after, 1).await?;
        }
        if !found.is_empty() {
            return Ok(Predecessors::Found(found));
        }
        if after > 0 {
            return Ok(Predecessors::Missing);
        }
        let begins_late = fact.is_first || earliest.as_ref().is_some_and(|fact| fact.is_first);
        let first = earliest.as_ref().unwrap_or(fact);
        let (first_sequence, lost, seen_from) = self.left_the_stream().await?;
        let missed = first.predecessor.filter(|sequence| *sequence >= seen_from);
        Ok(match (lost, missed) {
            (Some(lost), _) => Predecessors::Lost(lost),
            // The consumer has joined before, and has no watermark of it.
            (None, Some(missed)) if missed < first_sequence => Predecessors::Lost((missed, missed)),
            _ if begins_late || first_sequence > 1 => Predecessors::Expired(earliest),
            _ => Predecessors::Missing,
        })
    }

    /// Reads the versions after `after` from the sequence `from` on, and the fact that ends them
    /// early.
    async fn chain(
        &self,
        fact: &Fact,
        after: i64,
        mut from: u64,
    ) -> Result<(Vec<Fact>, Option<Fact>), Error> {
        let mut version = after + 1;
        let mut found = Vec::new();
        let mut earliest = None;
        while found.len() < MAX_FOUND {
            let next = self.next_in_stream(&fact.subject, from).await?;
            let Some(next) = next.filter(|next| next.sequence < fact.sequence) else {
                break;
            };
            from = next.sequence + 1;
            if next.version < version {
                continue;
            }
            if next.version > version {
                // It may be in work elsewhere and not applied yet: a chain that began after it
                // would lose it.
                earliest = Some(next).filter(|next| next.version < fact.version);
                break;
            }
            version += 1;
            found.push(next);
        }
        Ok((found, earliest))
    }

    /// Returns the first fact on `subject` at or after `sequence`.
    async fn next_in_stream(
        &self,
        subject: &str,
        mut sequence: u64,
    ) -> Result<Option<Fact>, Error> {
        loop {
            let next = self
                .stream
                .raw_message_builder()
                .sequence(sequence)
                .next_by_subject(subject)
                .send()
                .await;
            let message = match next {
                Ok(message) => message,
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    return Ok(None);
                }
                Err(error) => return Err(Error::jetstream("reading a subject", error)),
            };
            sequence = message.sequence + 1;
            let read = Fact::read(subject, message.sequence, &message.headers, message.payload);
            if read.is_some() {
                return Ok(read);
            }
        }
    }

    /// Returns the stream's first sequence, what left it before this consumer saw it, and from
    /// where on the consumer has seen all.
    async fn left_the_stream(&self) -> Result<(u64, Option<Lost>, u64), Error> {
        let info = self
            .stream
            .get_info()
            .map_err(|error| Error::jetstream("reading the stream", error))
            .await?;
        let (lost, seen_from) = coverage::seen(&self.pool, &self.consumer.name).await?;
        Ok((info.state.first_sequence, lost, seen_from))
    }
}
