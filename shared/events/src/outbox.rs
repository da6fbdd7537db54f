//! The producer's side: migrations, and the insert in the business transaction.

use std::collections::BTreeSet;

use contract::Event;
use facts::envelope::check;
use facts::error::Error;
use facts::subject;
use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tracing::{Instrument as _, Span};

/// The migrations of the schema `events` in a service's database, for `store::Database::open`.
///
/// They keep their own record in that schema and touch nothing outside of it.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Facts to record together, of one type or of several.
///
/// ```
/// # async fn record<OrderPaid: contract::Event, OrderSettled: contract::Event>(
/// #     tx: &mut sqlx::PgConnection, paid: OrderPaid, settled: OrderSettled,
/// # ) -> Result<(), events::Error> {
/// let mut facts = events::Facts::new();
/// facts.add(&paid)?;
/// facts.add(&settled)?;
/// facts.publish(tx).await
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Facts(Vec<Encoded>);

#[derive(Clone, Debug)]
struct Encoded {
    context: &'static str,
    aggregate: &'static str,
    kind: &'static str,
    key: String,
    payload: Vec<u8>,
}

/// Records `fact` in the caller's transaction: it is published if and only if that transaction
/// commits.
///
/// Locks the fact's aggregate until then, so that the facts of one key reach consumers in the order
/// of their commits. A transaction that publishes under several keys must do so in one order of
/// keys everywhere, or it may deadlock; [`Facts::publish`] does so.
///
/// # Errors
/// The key or the payload is too long, or the database does not answer.
pub async fn publish<E: Event>(tx: &mut PgConnection, fact: &E) -> Result<(), Error> {
    publish_all(tx, std::slice::from_ref(fact)).await
}

/// Records `facts` of one type, see [`Facts::publish`].
///
/// # Errors
/// See [`publish`]; then none of them is recorded.
pub async fn publish_all<E: Event>(tx: &mut PgConnection, facts: &[E]) -> Result<(), Error> {
    let mut all = Facts::new();
    facts.iter().try_for_each(|fact| all.add(fact))?;
    all.publish(tx).await
}

// === impl Facts ===

impl Facts {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact after those of its key.
    ///
    /// # Errors
    /// The key or the payload is too long.
    pub fn add<E: Event>(&mut self, fact: &E) -> Result<(), Error> {
        check(fact)?;
        self.0.push(Encoded {
            context: E::CONTEXT,
            aggregate: E::AGGREGATE,
            kind: E::TYPE,
            key: fact.key().to_owned(),
            payload: fact.encode_to_vec(),
        });
        Ok(())
    }

    /// Records the facts by one statement, like [`publish`]; those of one key in the order in which
    /// they were added.
    ///
    /// Locks their aggregates in one order everywhere: by context, aggregate and key, as bytes. A
    /// transaction that publishes several sets must bring them in that order too.
    ///
    /// # Errors
    /// The database does not answer; then none of them is recorded.
    pub async fn publish(self, tx: &mut PgConnection) -> Result<(), Error> {
        let facts = self.0;
        if facts.is_empty() {
            return Ok(());
        }
        let (contexts, aggregates, kinds, keys, lanes, payloads) = store::columns!(
            facts,
            fact => fact.context,
            fact.aggregate,
            fact.kind,
            fact.key.as_str(),
            subject::lane(&fact.key),
            fact.payload.as_slice(),
        );
        let span = span(&facts);
        // The transaction gets its id by the insert into `chain`, before the rows of the outbox get
        // theirs: the relay's low watermark relies on that.
        sqlx::query!(
            r#"WITH given AS (
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::bytea[])
                     WITH ORDINALITY AS given (context, aggregate, type, key, lane, payload, place)
             ), counted AS (
                 SELECT context, aggregate, key, count(*) AS facts FROM given GROUP BY context, aggregate, key
             ), next AS (
                 INSERT INTO events.chain AS chain (context, aggregate, key, version)
                 SELECT context, aggregate, key, facts FROM counted
                 ORDER BY context COLLATE "C", aggregate COLLATE "C", key COLLATE "C"
                 ON CONFLICT (context, aggregate, key)
                 DO UPDATE SET version = chain.version + excluded.version
                 RETURNING chain.context, chain.aggregate, chain.key, chain.version
             )
             INSERT INTO events.outbox (lane, context, aggregate, key, version, type, traceparent, payload)
             SELECT lane, context, aggregate, key,
                    next.version - counted.facts
                        + row_number() OVER (PARTITION BY context, aggregate, key ORDER BY place),
                    type, $7, payload
             FROM given JOIN counted USING (context, aggregate, key) JOIN next USING (context, aggregate, key)
             ORDER BY place"#,
            &contexts as &[&str],
            &aggregates as &[&str],
            &kinds as &[&str],
            &keys as &[&str],
            &lanes,
            &payloads as &[&[u8]],
            span.in_scope(chassis::telemetry::current_traceparent),
        )
        .execute(tx)
        .instrument(span)
        .await?;
        chassis::crash::point("events.outbox.recorded");
        Ok(())
    }
}

/// Opens the span of facts that are recorded together; what their consumers do is below it.
fn span(facts: &[Encoded]) -> Span {
    let kinds: BTreeSet<_> = facts.iter().map(|fact| fact.kind).collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    tracing::info_span!(
        "publish",
        otel.name = format!("publish {}", kinds.join(", ")),
        otel.kind = "producer",
        messaging.system = "nats",
        messaging.batch.message_count = facts.len(),
    )
}
