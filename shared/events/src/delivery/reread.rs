//! Reads again what the consumer's database has forgotten: it went back in time, and the stream
//! delivers nothing twice that was acknowledged.

use std::sync::Mutex;

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use chrono::{DateTime, Utc};
use facts::envelope::Fact;
use facts::error::Error;
use facts::subject;
use rpc::lock::lock;
use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::consumer::inbox::Mark;

use super::coverage;
use super::settle::Settler;

/// Most facts that are read at once.
const FACTS: usize = 64;

/// A range of the stream that is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) next: u64,
    pub(super) last: u64,
}

/// Knowledge about the database: a server that was started anew must have it too.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<Known>,
    /// The server does not.
    pub(super) forgotten: Notify,
}

#[derive(Clone, Debug, Default)]
struct Known {
    server_started: Option<DateTime<Utc>>,
    /// A watermark that was committed.
    mark: Option<Mark>,
}

/// Progress of reading again.
#[derive(Debug, Default)]
pub(super) struct Rereading {
    range: Option<Range>,
    /// A task reads it.
    is_reading: bool,
}

// === impl Rereading ===

impl Rereading {
    /// Adds a range, if there is one.
    pub(super) fn add(&mut self, consumer: &str, range: Option<Range>) {
        let Some(range) = range else {
            return;
        };
        tracing::error!(
            consumer,
            from = range.next,
            to = range.last,
            "the database went back in time: what it may have forgotten is read again"
        );
        self.range = Some(match self.range {
            None => range,
            Some(now) => Range {
                next: now.next.min(range.next),
                last: now.last.max(range.last),
            },
        });
    }

    pub(super) fn is_pending(&self) -> bool {
        self.range.is_some()
    }

    /// Returns the range to read from, unless facts of it are read or in work (`is_busy`).
    pub(super) fn take(&mut self, is_busy: bool) -> Option<Range> {
        if self.is_reading || is_busy {
            return None;
        }
        self.range = self.range.filter(|range| range.next <= range.last);
        self.is_reading = self.range.is_some();
        self.range
    }

    /// Notes that of `range` only `left` is left; another one may have been added since.
    pub(super) fn read(&mut self, range: Range, left: Range) {
        self.is_reading = false;
        if self.range == Some(range) {
            self.range = Some(left);
        }
    }
}

// === impl Memory ===

impl Memory {
    /// Notes a committed watermark.
    pub(super) fn committed(&self, mark: Option<&Mark>) {
        if let Some(mark) = mark {
            lock(&self.known).mark = Some(mark.clone());
        }
    }

    /// Checks a server that was started at `server_started`; false if it has forgotten what this
    /// process had committed. It is told once.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn check(
        &self,
        tx: &mut PgConnection,
        consumer: &str,
        server_started: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let known = lock(&self.known).clone();
        if known.server_started == Some(server_started) {
            return Ok(true);
        }
        let Known { mark, .. } = known;
        let is_known = match &mark {
            None => true,
            Some(mark) => {
                let version = sqlx::query_scalar!(
                    "SELECT version FROM events.inbox WHERE consumer = $1 AND key = $2",
                    consumer,
                    mark.key,
                );
                let version = version.fetch_optional(tx).await?;
                version.is_some_and(|version| version >= mark.version)
            }
        };
        *lock(&self.known) = Known {
            server_started: Some(server_started),
            mark: mark.filter(|_| is_known),
        };
        if !is_known {
            self.forgotten.notify_one();
        }
        Ok(is_known)
    }
}

// === impl Settler ===

impl Settler {
    /// Returns what the database may have forgotten, up to the end of the stream.
    ///
    /// # Errors
    /// Database or stream do not answer.
    pub(super) async fn forgotten(&self) -> Result<Range, Error> {
        let info = self.stream.get_info().await;
        let info = info.map_err(|error| Error::jetstream("reading the stream", error))?;
        let acked = coverage::acked(&self.pool, &self.consumer.name).await?;
        Ok(Range {
            next: acked + 1,
            last: info.state.last_sequence,
        })
    }

    /// Reads the next facts of `range`, and returns what is left of it; `None` if the process shuts
    /// down first.
    pub(super) async fn reread(&self, range: Range) -> Option<(Vec<Fact>, Range)> {
        let mut outages = 0;
        loop {
            let error = match self.read_on(range).await {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let pause = self.outage(&error, &mut outages);
            if !self.sleep(pause).await {
                return None;
            }
        }
    }

    async fn read_on(&self, mut range: Range) -> Result<(Vec<Fact>, Range), Error> {
        let filter = subject::filter(&self.consumer.context, &self.consumer.aggregate);
        let mut facts = Vec::new();
        while facts.len() < FACTS && range.next <= range.last {
            let next = self.stream.raw_message_builder().sequence(range.next);
            let message = match next.next_by_subject(filter.as_str()).send().await {
                Ok(message) => message,
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                    range.next = range.last + 1;
                    break;
                }
                Err(error) => return Err(Error::jetstream("reading the stream", error)),
            };
            range.next = message.sequence + 1;
            facts.extend(Fact::read(
                &message.subject,
                message.sequence,
                &message.headers,
                message.payload,
            ));
        }
        Ok((facts, range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_to_its_end_and_one_that_is_added_meanwhile_too() {
        let mut rereading = Rereading::default();
        assert_eq!(rereading.take(false), None);
        let range = |next, last| Range { next, last };
        rereading.add("audit", Some(range(5, 9)));
        assert_eq!(rereading.take(true), None);
        assert_eq!(rereading.take(false), Some(range(5, 9)));
        assert_eq!(rereading.take(false), None);
        rereading.add("audit", Some(range(2, 7)));
        rereading.read(range(5, 9), range(8, 9));
        assert_eq!(rereading.take(false), Some(range(2, 9)));
        rereading.read(range(2, 9), range(10, 9));
        assert!(rereading.is_pending());
        assert_eq!(rereading.take(false), None);
        assert!(!rereading.is_pending());
    }
}
