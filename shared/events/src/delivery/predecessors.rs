//! The versions before a message that came too early: in the stream, expired or lost.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures::TryFutureExt as _;

use crate::envelope::Fact;
use crate::error::Error;

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
        let (mut from, mut version) = (sequence + 1, after + 1);
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
        if !found.is_empty() {
            return Ok(Predecessors::Found(found));
        }
        if after > 0 {
            return Ok(Predecessors::Missing);
        }
        let begins_late = fact.is_first || earliest.as_ref().is_some_and(|fact| fact.is_first);
        let (first_sequence, lost) = self.left_the_stream().await?;
        Ok(match lost {
            Some(lost) => Predecessors::Lost(lost),
            None if begins_late || first_sequence > 1 => Predecessors::Expired(earliest),
            None => Predecessors::Missing,
        })
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

    /// Returns the stream's first sequence, and what left it before this consumer saw it.
    async fn left_the_stream(&self) -> Result<(u64, Option<Lost>), Error> {
        let info = self
            .stream
            .get_info()
            .map_err(|error| Error::jetstream("reading the stream", error))
            .await?;
        let lost = coverage::lost(&self.pool, &self.consumer.name).await?;
        Ok((info.state.first_sequence, lost))
    }
}
