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
/// keys everywhere, or it may deadlock; [`publish_all`] does so.
///
/// # Errors
/// The key or the payload is too long, or the database does not answer.
pub async fn publish<E: Event>(tx: &mut PgConnection, fact: &E) -> Result<(), Error> {
    publish_all(tx, std::slice::from_ref(fact)).await
}

/// Records `facts` by one statement, like [`publish`]; those of one key in the order given.
///
/// Locks their aggregates in the order of the keys.
///
/// # Errors
/// See [`publish`]; then none of them is recorded.
pub async fn publish_all<E: Event>(tx: &mut PgConnection, facts: &[E]) -> Result<(), Error> {
    if facts.is_empty() {
        return Ok(());
    }
    facts.iter().try_for_each(check)?;
    let (keys, lanes, payloads) = store::columns!(
        facts,
        fact => fact.key().to_owned(),
        subject::lane(fact.key()),
        fact.encode_to_vec(),
    );
    // The transaction gets its id by the insert into `chain`, before the rows of the outbox get
    // theirs: the relay's low watermark relies on that.
    sqlx::query!(
        "WITH given AS (
             SELECT * FROM unnest($3::text[], $4::smallint[], $5::bytea[])
                 WITH ORDINALITY AS given (key, lane, payload, place)
         ), counted AS (
             SELECT key, count(*) AS facts FROM given GROUP BY key
         ), next AS (
             INSERT INTO events.chain AS chain (context, aggregate, key, version)
             SELECT $1, $2, key, facts FROM counted ORDER BY key
             ON CONFLICT (context, aggregate, key)
             DO UPDATE SET version = chain.version + excluded.version
             RETURNING chain.key, chain.version
         )
         INSERT INTO events.outbox (lane, context, aggregate, key, version, type, traceparent, payload)
         SELECT given.lane, $1, $2, given.key,
                next.version - counted.facts + row_number() OVER (PARTITION BY given.key ORDER BY given.place),
                $6, $7, given.payload
         FROM given JOIN counted USING (key) JOIN next USING (key)
         ORDER BY given.place",
        E::CONTEXT,
        E::AGGREGATE,
        &keys,
        &lanes,
        &payloads,
        E::TYPE,
        chassis::telemetry::current_traceparent(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn check<E: Event>(fact: &E) -> Result<(), Error> {
    let bytes = fact.key().len();
    if !(1..=MAX_KEY_BYTES).contains(&bytes) {
        return Err(Error::Key {
            fact: E::TYPE,
            bytes,
            max: MAX_KEY_BYTES,
        });
    }
    match fact.encoded_len() {
        bytes if bytes > MAX_PAYLOAD_BYTES => Err(Error::TooLarge {
            fact: E::TYPE,
            bytes,
            max: MAX_PAYLOAD_BYTES,
        }),
        _ => Ok(()),
    }
}
