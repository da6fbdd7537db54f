//! The versions before a message that came too early: settled from the stream, expired or lost.

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures::TryFutureExt as _;
use futures::future::BoxFuture;

use crate::envelope::Fact;
use crate::error::Error;

use super::coverage::{self, Lost};
use super::settle::{Outcome, Settler};

/// Whether the versions before a message are in the stream.
pub(super) enum Predecessors {
    Settled,
    Missing,
    /// Only the chain's beginning is missing, and it left the stream before the consumer joined:
    /// the chain begins with this fact, or with the message itself if none before it is left.
    Expired(Option<Fact>),
    /// The consumer has joined before they left the stream.
    Lost(Lost),
    /// Settling one of them ended early, with this outcome.
    Stopped(Outcome),
}

// === impl Settler ===

impl Settler {
    /// Settles the version after `after` from the stream, if it is there.
    pub(super) async fn settle_predecessors(
        &self,
        fact: &Fact,
        after: i64,
        sequence: u64,
    ) -> Result<Predecessors, Error> {
        let mut from = sequence + 1;
        let mut earliest = None;
        while let Some(next) = self.next_in_stream(&fact.subject, from).await? {
            if next.sequence >= fact.sequence {
                break;
            }
            from = next.sequence + 1;
            if next.version <= after {
                continue;
            }
            if next.version > after + 1 {
                // It may be in work elsewhere and not applied yet: a chain that began after it
                // would lose it.
                earliest = Some(next).filter(|next| next.version < fact.version);
                break;
            }
            return Ok(match self.settle_boxed(&next).await {
                Outcome::Settled => Predecessors::Settled,
                outcome => Predecessors::Stopped(outcome),
            });
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

    /// Boxes the future, because a message settles its predecessors. A predecessor is the next
    /// version of its key and has no gap, so this recurses once.
    fn settle_boxed<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Outcome> {
        Box::pin(self.settle(fact, 0))
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
