//! Forgets the keys whose last fact left the stream long ago.

use std::time::Duration;

use facts::error::Error;
use facts::settings::interval;
use sqlx::PgPool;

/// Most keys forgotten at once.
const FORGOTTEN_KEYS: u16 = 2000;

/// Notes the first sequence of the stream, once an hour, and deletes the watermarks of keys whose
/// last fact left the stream longer than `keep` ago.
///
/// A key that has a fact again begins anew, as one that was never seen. A consumer that has lost
/// facts forgets nothing: it would take the beginning of such a key for lost too.
///
/// # Errors
/// The database does not answer.
pub(super) async fn forget(
    pool: &PgPool,
    consumer: &str,
    first_sequence: u64,
    keep: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO events.expiry (consumer, first_sequence)
         SELECT $1, $2 WHERE NOT EXISTS (
             SELECT FROM events.expiry WHERE consumer = $1 AND noted_at > now() - interval '1 hour')
         ON CONFLICT (consumer, noted_at) DO NOTHING",
        consumer,
        first_sequence.cast_signed(),
    )
    .execute(pool)
    .await?;
    let due = sqlx::query!(
        "SELECT first_sequence, noted_at FROM events.expiry
         WHERE consumer = $1 AND noted_at < now() - $2::interval
           AND NOT EXISTS (SELECT FROM events.coverage WHERE consumer = $1 AND lost_to IS NOT NULL)
         ORDER BY noted_at DESC LIMIT 1",
        consumer,
        interval(keep),
    )
    .fetch_optional(pool)
    .await?;
    let Some(due) = due else {
        return Ok(());
    };
    sqlx::query!(
        "UPDATE events.coverage SET forgot = greatest(forgot, $2) WHERE consumer = $1",
        consumer,
        due.first_sequence,
    )
    .execute(pool)
    .await?;
    // A sequence of 0 is that of an earlier stream.
    let forgotten = sqlx::query!(
        "DELETE FROM events.inbox WHERE ctid = ANY (ARRAY (
             SELECT ctid FROM events.inbox
             WHERE consumer = $1 AND sequence BETWEEN 1 AND $2::bigint - 1 AND NOT parked LIMIT $3))",
        consumer,
        due.first_sequence,
        i64::from(FORGOTTEN_KEYS),
    )
    .execute(pool)
    .await?;
    if forgotten.rows_affected() < FORGOTTEN_KEYS.into() {
        sqlx::query!(
            "DELETE FROM events.expiry WHERE consumer = $1 AND noted_at <= $2",
            consumer,
            due.noted_at,
        )
        .execute(pool)
        .await?;
    }
    Ok(())
}
