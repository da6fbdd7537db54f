//! The producer's side: migrations, and the insert in the business transaction.

use contract::Event;
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use crate::envelope::subject::{self, MAX_KEY_BYTES};
use crate::error::Error;

/// The largest encoded fact, in bytes: with its headers it stays below a NATS server's default
/// `max_payload` of 1 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 1_000_000;

/// The migrations of the schema `events` in a service's database, for `store::Database::open`.
///
/// They keep their own record in that schema and touch nothing outside of it.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Records `fact` in the caller's transaction: it is published if and only if that transaction
/// commits.
///
/// Locks the fact's aggregate until then, so that the facts of one key reach consumers in the order
/// of their commits. A transaction that publishes under several keys must do so in one order of
/// keys everywhere, or it may deadlock.
pub async fn publish<E: Event>(tx: &mut PgConnection, fact: &E) -> Result<(), Error> {
    let key = fact.key();
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::Key {
            fact: E::TYPE,
            bytes: key.len(),
            max: MAX_KEY_BYTES,
        });
    }
    let payload = fact.encode_to_vec();
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Error::TooLarge {
            fact: E::TYPE,
            bytes: payload.len(),
            max: MAX_PAYLOAD_BYTES,
        });
    }
    sqlx::query!(
        "WITH next AS (
             INSERT INTO events.chain AS chain (context, aggregate, key, version)
             VALUES ($2, $3, $4, 1)
             ON CONFLICT (context, aggregate, key) DO UPDATE SET version = chain.version + 1
             RETURNING chain.version
         )
         INSERT INTO events.outbox (lane, context, aggregate, key, version, type, traceparent, payload)
         SELECT $1, $2, $3, $4, next.version, $5, $6, $7 FROM next",
        subject::lane(key),
        E::CONTEXT,
        E::AGGREGATE,
        key,
        E::TYPE,
        chassis::telemetry::current_traceparent(),
        payload,
    )
    .execute(tx)
    .await?;
    Ok(())
}
