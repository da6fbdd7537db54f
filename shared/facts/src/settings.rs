//! The keys of `[events]` in a process's configuration, with their defaults and bounds.

use std::time::Duration;

use serde::Deserialize;
use sqlx::postgres::types::PgInterval;

use crate::error::Error;

/// JetStream's bound of the messages of one atomic batch (ADR-50).
const MAX_BATCH_ROWS: u16 = 1000;

/// Most facts that a consumer applies in one transaction: all are repeated if one fails.
const MAX_BATCH_FACTS: u16 = 1000;

/// Longest wait for a batch to fill.
const MAX_BATCH_WAIT_MS: u64 = 1000;

/// Longest age of the archive: ten years.
const MAX_ARCHIVE_S: u64 = 10 * 365 * 24 * 3600;

/// Longest lease of a relay, in milliseconds.
pub const MAX_LEASE_MS: u64 = 60_000;

/// Most attempts of a message, however quickly they fail.
pub const MAX_ATTEMPTS: u32 = 1000;

/// Longest timeout of a handler, which holds a connection, its key and a worker of the consumer.
const MAX_HANDLER_TIMEOUT_MS: u64 = 3_600_000;

/// Settings of relay and consumers. Every key but `nats_url` has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Address of the NATS server, with user and password if it asks for them, for example
    /// `nats://orders:secret@127.0.0.1:4222`. Required.
    pub nats_url: String,
    /// How long a start retries to reach the server, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long the stream keeps facts, in seconds.
    pub stream_max_age_s: u64,
    /// How long the server recognises a repeated message id, in milliseconds. Only a first check:
    /// the expected sequence of the subject has no window.
    pub stream_dedup_window_ms: u64,
    /// Copies of the stream in a NATS cluster.
    pub stream_replicas: usize,
    /// Most rows in one atomic batch, 1 to 1000.
    pub relay_batch_rows: u16,
    /// Shortest pause of the relay when the outbox is empty, in milliseconds; doubles up to the
    /// longest.
    pub relay_poll_min_ms: u64,
    /// Longest pause of the relay when the outbox is empty, in milliseconds; a third of the lease,
    /// if that is shorter.
    pub relay_poll_max_ms: u64,
    /// How long a relay that stops answering keeps others from taking over, in milliseconds, 1000
    /// to 60000. The longest wait of a fact after its relay was killed.
    pub relay_lease_ms: u64,
    /// How long published facts stay in the database, in seconds: what a lost stream can be rebuilt
    /// from. About the size of the outbox's rows per fact.
    pub archive_max_age_s: u64,
    /// How long a consumer remembers a key whose last fact has left the stream, in seconds; at
    /// least `archive_max_age_s`, and longer than that of each service whose facts it reads: a
    /// stream that is rebuilt from their archive delivers those facts again.
    pub inbox_max_age_s: u64,
    /// Transactions of one consumer that run at once, each with one database connection.
    pub consumer_workers: usize,
    /// Most facts that one transaction of a consumer applies, 1 to 1000; of one key at most a
    /// quarter of that while other keys are due, and an eighth of `consumer_max_ack_pending`.
    pub consumer_batch_facts: u16,
    /// How long facts wait for others to fill their batch while the consumer applies another one,
    /// in milliseconds, at most 1000. An idle consumer does not wait.
    pub consumer_batch_wait_ms: u64,
    /// Messages that one consumer holds in memory, running and waiting. Once they are half of that,
    /// a key of which more than an eighth waits is held no further: its later messages are read
    /// from the stream again when they are due.
    pub consumer_max_ack_pending: u16,
    /// How long the server waits for a progress signal before it delivers again, in milliseconds.
    pub consumer_ack_wait_ms: u64,
    /// How long the handlers of one batch may take, in milliseconds, at most an hour; if they take
    /// longer, each fact is applied alone and has that time for itself. The server cancels their
    /// statements after nine tenths of it.
    pub handler_timeout_ms: u64,
    /// Upper bound of the first pause after a transient failure, in milliseconds; doubles per
    /// attempt.
    pub retry_base_ms: u64,
    /// Upper bound of any pause after a failure, in milliseconds.
    pub retry_max_ms: u64,
    /// Attempts that a transient failure gets at least, 1 to 1000. Its key is parked once they and
    /// `retry_budget_ms` are both spent: neither a burst of quick failures nor one slow attempt is
    /// enough. After 1000 attempts it is parked in any case.
    pub retry_attempts: u32,
    /// Time for failed attempts and their pauses that a transient failure gets at least, in
    /// milliseconds.
    pub retry_budget_ms: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            nats_url: String::new(),
            connect_timeout_ms: 30_000,
            stream_max_age_s: 7 * 24 * 3600,
            stream_dedup_window_ms: 120_000,
            stream_replicas: 1,
            relay_batch_rows: 500,
            relay_poll_min_ms: 50,
            relay_poll_max_ms: 1000,
            relay_lease_ms: 3000,
            archive_max_age_s: 7 * 24 * 3600,
            inbox_max_age_s: 30 * 24 * 3600,
            consumer_workers: 4,
            consumer_batch_facts: 128,
            consumer_batch_wait_ms: 5,
            consumer_max_ack_pending: 512,
            consumer_ack_wait_ms: 5_000,
            handler_timeout_ms: 30_000,
            retry_base_ms: 50,
            retry_max_ms: 5000,
            retry_attempts: 8,
            retry_budget_ms: 10_000,
        }
    }
}

impl Settings {
    /// Checks the ranges; an error names the first key that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |key, reason| Err(Error::Config { key, reason });
        if self.nats_url.is_empty() {
            return fail("nats_url", "is required");
        }
        let positive = [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("stream_max_age_s", self.stream_max_age_s),
            ("relay_poll_min_ms", self.relay_poll_min_ms),
            ("archive_max_age_s", self.archive_max_age_s),
            ("handler_timeout_ms", self.handler_timeout_ms),
            ("retry_base_ms", self.retry_base_ms),
            ("retry_attempts", self.retry_attempts.into()),
            ("retry_budget_ms", self.retry_budget_ms),
            ("consumer_workers", self.consumer_workers as u64),
            (
                "consumer_max_ack_pending",
                self.consumer_max_ack_pending.into(),
            ),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return fail(key, "must be greater than 0");
        }
        if !(1..=MAX_BATCH_ROWS).contains(&self.relay_batch_rows) {
            return fail("relay_batch_rows", "must be 1 to 1000 (JetStream, ADR-50)");
        }
        if !(1..=MAX_BATCH_FACTS).contains(&self.consumer_batch_facts) {
            return fail("consumer_batch_facts", "must be 1 to 1000");
        }
        if self.consumer_batch_wait_ms > MAX_BATCH_WAIT_MS {
            return fail("consumer_batch_wait_ms", "must be at most 1000");
        }
        if self.relay_poll_max_ms < self.relay_poll_min_ms {
            return fail("relay_poll_max_ms", "must be at least relay_poll_min_ms");
        }
        if !(1000..=MAX_LEASE_MS).contains(&self.relay_lease_ms) {
            return fail("relay_lease_ms", "must be 1000 to 60000");
        }
        if self.archive_max_age_s > MAX_ARCHIVE_S {
            return fail("archive_max_age_s", "must be at most 315360000 (ten years)");
        }
        if !(self.archive_max_age_s..=MAX_ARCHIVE_S).contains(&self.inbox_max_age_s) {
            return fail(
                "inbox_max_age_s",
                "must be archive_max_age_s to 315360000 (ten years)",
            );
        }
        if self.handler_timeout_ms > MAX_HANDLER_TIMEOUT_MS {
            return fail("handler_timeout_ms", "must be at most 3600000");
        }
        if self.retry_attempts > MAX_ATTEMPTS {
            return fail("retry_attempts", "must be 1 to 1000");
        }
        if self.retry_max_ms < self.retry_base_ms {
            return fail("retry_max_ms", "must be at least retry_base_ms");
        }
        if !(100..=self.stream_max_age_s.saturating_mul(1000))
            .contains(&self.stream_dedup_window_ms)
        {
            return fail(
                "stream_dedup_window_ms",
                "must be 100 to the stream's max age",
            );
        }
        if !(1..=5).contains(&self.stream_replicas) {
            return fail("stream_replicas", "must be 1 to 5");
        }
        if self.consumer_ack_wait_ms < 1000 {
            return fail("consumer_ack_wait_ms", "must be at least 1000");
        }
        Ok(())
    }

    /// Returns how long the server waits for an acknowledgement before it delivers again.
    pub fn ack_wait(&self) -> Duration {
        Duration::from_millis(self.consumer_ack_wait_ms)
    }

    /// Returns the longest run of a handler.
    pub fn handler_timeout(&self) -> Duration {
        Duration::from_millis(self.handler_timeout_ms)
    }
}

/// Returns `term` as the database takes it.
pub fn interval(term: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        // The settings bound it.
        microseconds: i64::try_from(term.as_micros()).unwrap_or(i64::MAX),
    }
}
