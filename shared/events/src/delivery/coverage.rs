//! How much of its stream a consumer has seen: finds what left the stream before that.

use std::time::Duration;

use async_nats::jetstream::consumer;
use async_nats::jetstream::stream;
use chrono::{DateTime, Utc};
use facts::error::Error;
use facts::settings::Settings;
use sqlx::{PgConnection, PgPool};

use super::expiry;
use super::reread::Range;

/// Sequences that left the stream before a consumer saw them: from, to.
pub(super) type Lost = (u64, u64);

/// A look at the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When the stream was created: another one has other sequences.
    created: DateTime<Utc>,
    /// Its first sequence.
    first: u64,
    /// Everything up to here is acknowledged; none while facts are read again.
    acked: Option<u64>,
    /// Its last sequence, if the consumer has settled all that concerns it.
    caught_up: Option<u64>,
}

/// The record of a consumer, as `events.coverage` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Coverage {
    created: DateTime<Utc>,
    joined_at: u64,
    settled: u64,
    acked: u64,
    /// Watermarks of earlier sequences may be forgotten.
    forgot: u64,
    lost: Option<Lost>,
}

// === impl Look ===

impl Look {
    /// Reads the state of a stream, and after it that of a consumer: what the consumer has settled
    /// then includes the stream's last message.
    pub(super) fn new(stream: &stream::Info, consumer: &consumer::Info) -> Self {
        let is_idle = consumer.num_pending == 0 && consumer.num_ack_pending == 0;
        // The database keeps microseconds.
        let created = stream.created.unix_timestamp_nanos() / 1000;
        let created = i64::try_from(created).ok();
        Self {
            created: created
                .and_then(DateTime::from_timestamp_micros)
                .unwrap_or_default(),
            first: stream.state.first_sequence,
            acked: Some(consumer.ack_floor.stream_sequence),
            caught_up: is_idle.then_some(stream.state.last_sequence),
        }
    }

    /// Leaves out what says that facts are settled: some are read again.
    pub(super) fn rereading(self) -> Self {
        Self {
            acked: None,
            caught_up: None,
            ..self
        }
    }
}

// === impl Coverage ===

impl Coverage {
    /// The record after `look`; `applied` is the last sequence that the inbox knows.
    fn after(previous: Option<Self>, look: &Look, applied: u64) -> Self {
        let joins = Self {
            created: look.created,
            joined_at: look.first,
            settled: look.caught_up.unwrap_or_default(),
            acked: look.acked.unwrap_or_default(),
            forgot: 0,
            lost: previous.and_then(|previous| previous.lost),
        };
        let Some(previous) = previous else {
            return joins;
        };
        if previous.created != look.created {
            return joins;
        }
        let seen = previous.settled.max(applied);
        let seen = seen.max(previous.joined_at.saturating_sub(1));
        // A stream that never held a message has no first sequence.
        let before = look.first.saturating_sub(1);
        let is_lost = before > seen;
        Self {
            // A loss is reported once.
            settled: look.caught_up.unwrap_or_default().max(before).max(seen),
            acked: look.acked.unwrap_or(previous.acked),
            lost: is_lost.then_some((seen + 1, before)).or(previous.lost),
            ..previous
        }
    }
}

/// Records what `consumer` has seen; reports and returns what left the stream before.
///
/// # Errors
/// The database does not answer.
pub(super) async fn record(
    pool: &PgPool,
    consumer: &str,
    look: &Look,
    settings: &Settings,
) -> Result<Option<Lost>, Error> {
    let mut tx = pool.begin().await?;
    let previous = read(&mut tx, consumer).await?;
    if previous.is_some_and(|previous| previous.created != look.created) {
        forget_sequences(&mut tx, consumer).await?;
    }
    // To find it out takes a look at every key.
    let may_have_lost = previous.is_some_and(|previous| look.first > previous.settled + 1);
    let applied = match may_have_lost {
        true => applied(&mut tx, consumer).await?,
        false => 0,
    };
    let now = Coverage::after(previous, look, applied);
    write(&mut tx, consumer, &now).await?;
    tx.commit().await?;
    let known = previous.and_then(|previous| previous.lost);
    if let Some((from, to)) = now.lost.filter(|_| now.lost != known) {
        tracing::error!(
            consumer,
            from,
            to,
            "facts left the stream before this consumer read them"
        );
    }
    let keep = Duration::from_secs(settings.inbox_max_age_s);
    expiry::forget(pool, consumer, look.first, keep).await?;
    Ok(now.lost)
}

/// Returns what the stream has acknowledgements for and the database does not know: it went back in
/// time.
///
/// # Errors
/// The database does not answer.
pub(super) async fn forgotten(
    pool: &PgPool,
    consumer: &str,
    look: &Look,
) -> Result<Option<Range>, Error> {
    let mut tx = pool.begin().await?;
    let previous = read(&mut tx, consumer).await?;
    let previous = previous.filter(|previous| previous.created == look.created);
    let (Some(previous), Some(last)) = (previous, look.acked) else {
        return Ok(None);
    };
    // To find it out takes a look at every key.
    if last <= previous.acked || last <= applied(&mut tx, consumer).await? {
        return Ok(None);
    }
    let next = previous.acked + 1;
    Ok(Some(Range { next, last }))
}

/// Returns the sequence up to which the database knows that everything was acknowledged.
pub(super) async fn acked(pool: &PgPool, consumer: &str) -> Result<u64, Error> {
    let mut connection = pool.acquire().await?;
    let coverage = read(&mut connection, consumer).await?;
    Ok(coverage.map_or(0, |coverage| coverage.acked))
}

/// Returns the last range that left the stream before `consumer` saw it, and the sequence from
/// which on it has a watermark for each fact.
pub(super) async fn seen(pool: &PgPool, consumer: &str) -> Result<(Option<Lost>, u64), Error> {
    let mut connection = pool.acquire().await?;
    let coverage = read(&mut connection, consumer).await?;
    Ok(coverage.map_or((None, u64::MAX), |coverage| {
        (coverage.lost, coverage.joined_at.max(coverage.forgot))
    }))
}

async fn read(connection: &mut PgConnection, consumer: &str) -> Result<Option<Coverage>, Error> {
    let row = sqlx::query!(
        "SELECT stream_created, joined_at, settled, acked, forgot, lost_from, lost_to
         FROM events.coverage WHERE consumer = $1 FOR UPDATE",
        consumer,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Coverage {
        created: row.stream_created,
        joined_at: row.joined_at.unsigned_abs(),
        settled: row.settled.unsigned_abs(),
        acked: row.acked.unsigned_abs(),
        forgot: row.forgot.unsigned_abs(),
        lost: row
            .lost_from
            .zip(row.lost_to)
            .map(|(from, to)| (from.unsigned_abs(), to.unsigned_abs())),
    }))
}

async fn write(tx: &mut PgConnection, consumer: &str, now: &Coverage) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO events.coverage AS coverage
             (consumer, stream_created, joined_at, settled, acked, forgot, lost_from, lost_to, lost_at)
         VALUES ($1, $2, $3, $4, $7, $8, $5, $6, CASE WHEN $5::bigint IS NOT NULL THEN now() END)
         ON CONFLICT (consumer) DO UPDATE
         SET stream_created = excluded.stream_created, joined_at = excluded.joined_at,
             settled = excluded.settled, acked = excluded.acked, forgot = excluded.forgot, lost_from = excluded.lost_from, lost_to = excluded.lost_to,
             lost_at = CASE WHEN excluded.lost_from IS NOT DISTINCT FROM coverage.lost_from
                       THEN coverage.lost_at ELSE excluded.lost_at END",
        consumer,
        now.created,
        now.joined_at.cast_signed(),
        now.settled.cast_signed(),
        now.lost.map(|(from, _)| from.cast_signed()),
        now.lost.map(|(_, to)| to.cast_signed()),
        now.acked.cast_signed(),
        now.forgot.cast_signed(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Sequences of an earlier stream say nothing about the present one.
async fn forget_sequences(tx: &mut PgConnection, consumer: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE events.inbox SET sequence = 0 WHERE consumer = $1",
        consumer
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE events.parked SET sequence = 0 WHERE consumer = $1",
        consumer
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM events.expiry WHERE consumer = $1", consumer)
        .execute(tx)
        .await?;
    Ok(())
}

/// Returns the last sequence that the consumer has applied or parked.
async fn applied(tx: &mut PgConnection, consumer: &str) -> Result<u64, Error> {
    let last = sqlx::query_scalar!(
        r#"SELECT greatest(
               (SELECT max(sequence) FROM events.inbox WHERE consumer = $1),
               (SELECT max(sequence) FROM events.parked WHERE consumer = $1),
               0) AS "last!""#,
        consumer,
    )
    .fetch_one(tx)
    .await?;
    Ok(last.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn look(first: u64, caught_up: Option<u64>) -> Look {
        Look {
            created: CREATED,
            first,
            acked: Some(0),
            caught_up,
        }
    }

    fn joined(first: u64) -> Option<Coverage> {
        Some(Coverage::after(None, &look(first, None), 0))
    }

    #[test]
    fn what_left_the_stream_before_the_consumer_joined_is_not_lost() {
        let joined = joined(50);
        assert_eq!(joined.unwrap().lost, None);
        assert_eq!(Coverage::after(joined, &look(50, None), 0).lost, None);
        assert_eq!(Coverage::after(joined, &look(51, None), 50).lost, None);
    }

    #[test]
    fn what_left_the_stream_unseen_is_lost_and_reported_once() {
        let behind = Coverage::after(joined(1), &look(20, None), 10);
        assert_eq!(behind.lost, Some((11, 19)));
        let later = Coverage::after(Some(behind), &look(20, None), 10);
        assert_eq!(later, behind);
        let again = Coverage::after(Some(later), &look(40, None), 30);
        assert_eq!(again.lost, Some((31, 39)));
    }

    #[test]
    fn a_consumer_that_had_settled_everything_loses_nothing() {
        // The messages between were another aggregate's.
        let idle = Coverage::after(joined(1), &look(1, Some(900)), 10);
        assert_eq!(Coverage::after(Some(idle), &look(901, None), 10).lost, None);
    }

    #[test]
    fn a_stream_without_messages_loses_nothing() {
        let empty = Coverage::after(joined(0), &look(0, Some(0)), 0);
        assert_eq!((empty.settled, empty.lost), (0, None));
        assert_eq!(Coverage::after(Some(empty), &look(1, None), 0).lost, None);
    }

    #[test]
    fn another_stream_is_joined_anew() {
        let behind = Coverage::after(joined(1), &look(20, None), 10);
        let rebuilt = Look {
            created: CREATED + chrono::TimeDelta::seconds(1),
            ..look(1, None)
        };
        let rebuilt = Coverage::after(Some(behind), &rebuilt, 0);
        assert_eq!((rebuilt.joined_at, rebuilt.settled), (1, 0));
    }
}
