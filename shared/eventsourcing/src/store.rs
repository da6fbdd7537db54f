//! The tables of events and snapshots. Every statement is about a whole batch.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use store::columns;

use crate::aggregate::{Aggregate, Root};
use crate::error::Error;
use crate::event::{Event, Stored, encode};

/// The migrations of the schema `eventsourcing` in a service's database, for
/// `store::Database::open`.
///
/// They keep their own record in that schema and touch nothing outside of it.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// An event to store under a version that the caller knows.
#[derive(Clone, Debug)]
pub struct Entry<E> {
    /// Id of the aggregate.
    pub id: String,
    /// The version that the event gets; those of one id follow each other.
    pub version: i64,
    /// The event.
    pub event: E,
}

/// Loads aggregates, by id; one without events has version 0. One statement, whatever their number.
///
/// # Errors
/// [`Error::Unreadable`] for an event or a snapshot that this code can't read.
pub async fn load<A: Aggregate>(
    connection: &mut PgConnection,
    ids: &[&str],
) -> Result<HashMap<String, Root<A>>, Error> {
    let mut roots: HashMap<_, _> = ids
        .iter()
        .map(|id| ((*id).to_owned(), Root::new(*id)))
        .collect();
    let ids: Vec<_> = roots.keys().map(String::as_str).collect();
    // A snapshot comes before the events after it. `OFFSET 0` keeps the planner from reading
    // whole tables while it has no statistics of them.
    let rows = sqlx::query_as!(
        Row,
        r#"WITH wanted AS (
               SELECT wanted.id, coalesce(snapshot.version, 0) AS version, snapshot.state
               FROM unnest($2::text[]) AS wanted (id)
               LEFT JOIN LATERAL (
                   SELECT version, state FROM eventsourcing.snapshot AS known
                   WHERE known.aggregate = $1 AND known.id = wanted.id AND known.state_version = $3 OFFSET 0
               ) AS snapshot ON true
           )
           SELECT 0::bigint AS "sequence!", id AS "id!", version AS "version!", NULL AS "type", 0 AS "schema!",
                  state::text AS "payload!", NULL::timestamptz AS recorded_at
           FROM wanted WHERE state IS NOT NULL
           UNION ALL
           SELECT event.sequence, event.id, event.version, event.type, event.schema, event.payload::text, event.recorded_at
           FROM wanted CROSS JOIN LATERAL (
               SELECT * FROM eventsourcing.event AS event
               WHERE event.aggregate = $1 AND event.id = wanted.id AND event.version > wanted.version OFFSET 0) AS event
           ORDER BY 2, 3"#,
        A::NAME,
        &ids as &[&str],
        A::STATE_VERSION
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let Some(root) = roots.get_mut(&row.id) else {
            continue;
        };
        match row.stored(A::NAME) {
            Ok(event) => root.replay(&event)?,
            Err(snapshot) => root.restore(snapshot.version, &snapshot.payload)?,
        }
    }
    Ok(roots)
}

/// Appends the new events of aggregates, and the snapshots that are due; returns the sequence of
/// the last event, `None` if there are no new ones. A concurrent append to one of the aggregates is
/// waited for.
///
/// # Errors
/// [`Error::Conflict`] if an aggregate has changed since it was loaded: then the transaction must
/// not be committed. [`Error::Undeclared`] for a type that is not declared.
pub async fn append<'a, A: Aggregate>(
    tx: &mut PgConnection,
    roots: impl IntoIterator<Item = &'a mut Root<A>>,
) -> Result<Option<i64>, Error> {
    let roots = roots.into_iter().filter(|root| !root.pending().is_empty());
    let mut roots: Vec<_> = roots.collect();
    let mut entries = Vec::new();
    for root in &roots {
        let entry = |(event, version): (&A::Event, i64)| Entry {
            id: root.id().to_owned(),
            version,
            event: event.clone(),
        };
        let first = root.version() + 1;
        entries.extend(root.pending().iter().zip(first..).map(entry));
    }
    let last = record(tx, A::NAME, entries).await?;
    roots.retain_mut(|root| root.stored());
    save(tx, &roots).await?;
    Ok(last)
}

/// Appends events of aggregates whose versions the caller keeps, such as in a row that it has
/// locked; returns the sequence of the last event, `None` without events.
///
/// # Errors
/// See [`append`].
pub async fn record<E: Event>(
    tx: &mut PgConnection,
    aggregate: &'static str,
    mut entries: Vec<Entry<E>>,
) -> Result<Option<i64>, Error> {
    // One order of ids everywhere, so that no two appends wait for each other.
    entries.sort_by(|one, other| (&one.id, one.version).cmp(&(&other.id, other.version)));
    let streams = streams(aggregate, &entries)?;
    if streams.is_empty() {
        return Ok(None);
    }
    let events = entries
        .iter()
        .map(|entry| Ok((entry, encode(&entry.event)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let (streams, versions) = columns!(streams, (id, expected) => *id, *expected);
    let (ids, numbers, types, schemas, payloads) = columns!(
        events,
        (entry, event) => &*entry.id,
        entry.version,
        event.r#type,
        event.schema,
        &*event.payload,
    );
    let stored = sqlx::query!(
        r#"WITH stream AS (
               SELECT expected, coalesce((SELECT max(known.version) FROM eventsourcing.event AS known
                                          WHERE known.aggregate = $1 AND known.id = wanted.id), 0) AS found
               FROM unnest($2::text[], $3::bigint[]) AS wanted (id, expected)
           ), new AS (
               INSERT INTO eventsourcing.event (aggregate, id, version, type, schema, payload)
               SELECT $1, id, version, type, schema, payload::jsonb
               FROM unnest($4::text[], $5::bigint[], $6::text[], $7::integer[], $8::text[]) WITH ORDINALITY
                    AS event (id, version, type, schema, payload, number)
               WHERE NOT EXISTS (SELECT FROM stream WHERE found <> expected)
               ORDER BY number
               ON CONFLICT (aggregate, id, version) DO NOTHING
               RETURNING sequence
           )
           SELECT count(*) AS "count!", min(sequence) AS first, max(sequence) AS last FROM new"#,
        aggregate,
        &streams as &[&str],
        &versions,
        &ids as &[&str],
        &numbers,
        &types as &[&str],
        &schemas,
        &payloads as &[&str]
    )
    .fetch_one(&mut *tx)
    .await?;
    if stored.count == events.len() as i64 {
        return Ok(stored.last);
    }
    Err(conflict(tx, aggregate, &streams, &versions, stored.first).await?)
}

/// Returns the version that each aggregate must have, by id, for sorted entries to follow it.
fn streams<'a, E>(
    aggregate: &'static str,
    entries: &'a [Entry<E>],
) -> Result<BTreeMap<&'a str, i64>, Error> {
    let mut streams = BTreeMap::new();
    for entry in entries {
        streams.entry(&*entry.id).or_insert(entry.version - 1);
    }
    for pair in entries.windows(2) {
        let [one, next] = pair else { continue };
        if one.id == next.id && one.version + 1 != next.version {
            return Err(Error::Impossible {
                aggregate,
                id: one.id.clone(),
                version: one.version,
            });
        }
    }
    Ok(streams)
}

/// Returns the sequence of an aggregate's latest event; `None` before the first.
///
/// # Errors
/// Those of the database.
pub async fn latest(
    connection: &mut PgConnection,
    aggregate: &str,
    id: &str,
) -> Result<Option<i64>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT sequence FROM eventsourcing.event WHERE aggregate = $1 AND id = $2 ORDER BY version DESC LIMIT 1",
        aggregate,
        id
    )
    .fetch_optional(connection)
    .await?)
}

/// Returns up to `limit` events of these kinds with sequences above `after` and up to `until`, in
/// order.
pub(crate) async fn read(
    tx: &mut PgConnection,
    aggregates: &[&str],
    after: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT sequence, aggregate, id, version, type, schema, payload::text AS "payload!", recorded_at
           FROM eventsourcing.event
           WHERE sequence > $1 AND sequence <= $2 AND aggregate = ANY($3) ORDER BY sequence LIMIT $4"#,
        after,
        until,
        aggregates as &[&str],
        limit
    )
    .fetch_all(tx)
    .await
}

/// Finds the aggregate that has changed. The other transaction has committed, so it is seen here;
/// those of the batch that were stored, from sequence `first`, are not looked at.
async fn conflict(
    tx: &mut PgConnection,
    aggregate: &'static str,
    ids: &[&str],
    expected: &[i64],
    first: Option<i64>,
) -> Result<Error, Error> {
    let row = sqlx::query!(
        r#"SELECT stream.id AS "id!", expected AS "expected!", coalesce(max(version), 0) AS "found!"
           FROM unnest($2::text[], $3::bigint[]) AS stream (id, expected)
           LEFT JOIN eventsourcing.event
                ON event.aggregate = $1 AND event.id = stream.id
                AND NOT (event.transaction_id = pg_current_xact_id() AND event.sequence >= $4)
           GROUP BY stream.id, expected HAVING coalesce(max(version), 0) <> expected ORDER BY stream.id LIMIT 1"#,
        aggregate,
        ids as &[&str],
        expected,
        first.unwrap_or(i64::MAX)
    )
    .fetch_optional(tx)
    .await?;
    let row = row.ok_or(Error::Database(sqlx::Error::RowNotFound))?;
    Ok(Error::Conflict {
        aggregate,
        id: row.id,
        expected: row.expected,
        found: row.found,
    })
}

async fn save<A: Aggregate>(tx: &mut PgConnection, roots: &[&mut Root<A>]) -> Result<(), Error> {
    if roots.is_empty() {
        return Ok(());
    }
    let states = roots
        .iter()
        .map(|root| serde_json::to_string(&root.state()));
    let states: Vec<_> = states.collect::<Result<_, _>>().map_err(Error::Serialize)?;
    let (ids, versions) = columns!(roots, root => root.id(), root.version());
    sqlx::query!(
        "INSERT INTO eventsourcing.snapshot (aggregate, id, version, state_version, state)
         SELECT $1, id, version, $2, state::jsonb FROM unnest($3::text[], $4::bigint[], $5::text[]) AS new (id, version, state)
         ON CONFLICT (aggregate, id) DO UPDATE
         SET version = excluded.version, state_version = excluded.state_version, state = excluded.state",
        A::NAME,
        A::STATE_VERSION,
        &ids as &[&str],
        &versions,
        &states
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An event, or a snapshot, which has no type.
struct Row {
    sequence: i64,
    id: String,
    version: i64,
    r#type: Option<String>,
    schema: i32,
    payload: String,
    recorded_at: Option<DateTime<Utc>>,
}

impl Row {
    /// Returns the event; the row itself if it is a snapshot.
    fn stored(mut self, aggregate: &str) -> Result<Stored, Self> {
        let Some((r#type, recorded_at)) = self.r#type.take().zip(self.recorded_at) else {
            return Err(self);
        };
        Ok(Stored {
            sequence: self.sequence,
            aggregate: aggregate.to_owned(),
            id: self.id,
            version: self.version,
            r#type,
            schema: self.schema,
            payload: self.payload,
            recorded_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_id_follow_each_other() {
        let entry = |id: &str, version| Entry {
            id: id.to_owned(),
            version,
            event: (),
        };
        let follow = [entry("a", 3), entry("a", 4), entry("b", 1)];
        let expected = BTreeMap::from([("a", 2), ("b", 0)]);
        assert_eq!(streams("counter", &follow).unwrap(), expected);
        for wrong in [
            [entry("a", 1), entry("a", 1)],
            [entry("a", 1), entry("a", 3)],
        ] {
            let refused = streams("counter", &wrong).unwrap_err();
            assert!(matches!(refused, Error::Impossible { version: 1, .. }));
        }
    }
}
