//! The position of a consumer in each key, and the step for a message that follows from it.

use std::collections::{HashMap, HashSet};

use chassis::crash;
use facts::envelope::Fact;
use sqlx::PgConnection;

/// The position of a consumer in one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The newest version applied; 0 before the first.
    pub(crate) version: i64,
    /// Sequence in the stream of the newest version applied or parked.
    pub(crate) sequence: u64,
    /// The newest version parked, if the key is parked.
    pub(crate) parked: Option<i64>,
}

/// The step for a message at its key's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Apply,
    /// It was applied, or is parked.
    Repeat,
    /// Its key is parked: it is parked after the others.
    Park,
    /// The version after this one is missing.
    Gap(i64),
}

// === impl Position ===

impl Position {
    /// Decides what to do with `version`.
    pub(crate) fn step(&self, version: i64) -> Step {
        match self.parked {
            _ if version <= self.version && crash::skips("events.inbox") => Step::Apply,
            _ if version <= self.version => Step::Repeat,
            // Parking ignores facts that it holds, so a late version that fills a gap below `last`
            // is kept too.
            Some(last) if version <= last + 1 => Step::Park,
            Some(last) => Step::Gap(last),
            None if version == self.version + 1 => Step::Apply,
            None => Step::Gap(self.version),
        }
    }
}

/// A new watermark of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) key: String,
    pub(crate) version: i64,
    pub(crate) sequence: u64,
}

/// Writes the watermarks of keys that have none yet; returns the keys that it wrote.
///
/// Waits for a transaction that is writing the same key.
pub(crate) async fn begin(
    tx: &mut PgConnection,
    consumer: &str,
    marks: &[Mark],
) -> Result<HashSet<String>, sqlx::Error> {
    let (keys, versions, sequences) = columns(marks);
    // In order of keys, as `lock`: two transactions with the same keys must not wait for each
    // other.
    let begun = sqlx::query_scalar!(
        "INSERT INTO events.inbox (consumer, key, version, sequence)
         SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS mark (key, version, sequence)
         ORDER BY key
         ON CONFLICT (consumer, key) DO NOTHING
         RETURNING key",
        consumer,
        &keys,
        &versions,
        &sequences,
    )
    .fetch_all(tx)
    .await?;
    Ok(begun.into_iter().collect())
}

/// Moves the watermarks of keys that this transaction has written or locked; returns how many.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    consumer: &str,
    marks: &[Mark],
) -> Result<usize, sqlx::Error> {
    let (keys, versions, sequences) = columns(marks);
    let moved = sqlx::query!(
        "UPDATE events.inbox AS inbox SET version = mark.version, sequence = mark.sequence
         FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS mark (key, version, sequence)
         WHERE inbox.consumer = $1 AND inbox.key = mark.key",
        consumer,
        &keys,
        &versions,
        &sequences,
    )
    .execute(tx)
    .await?;
    Ok(usize::try_from(moved.rows_affected()).unwrap_or(usize::MAX))
}

/// Reads the positions of `keys` and locks them; a key without a position is missing.
pub(crate) async fn lock(
    tx: &mut PgConnection,
    consumer: &str,
    keys: &[String],
) -> Result<HashMap<String, Position>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT key, version, sequence, parked FROM events.inbox
         WHERE consumer = $1 AND key = ANY($2) ORDER BY key FOR UPDATE",
        consumer,
        keys,
    )
    .fetch_all(&mut *tx)
    .await?;
    let parked: Vec<String> = rows
        .iter()
        .filter(|row| row.parked)
        .map(|row| row.key.clone())
        .collect();
    let position = |version, sequence: i64| Position {
        version,
        sequence: sequence.unsigned_abs(),
        parked: None,
    };
    let mut positions: HashMap<_, _> = rows
        .into_iter()
        .map(|row| (row.key, position(row.version, row.sequence)))
        .collect();
    if parked.is_empty() {
        return Ok(positions);
    }
    let last = sqlx::query!(
        "SELECT DISTINCT ON (key) key, version, sequence FROM events.parked
         WHERE consumer = $1 AND key = ANY($2) ORDER BY key, version DESC",
        consumer,
        &parked,
    )
    .fetch_all(tx)
    .await?;
    for row in last {
        if let Some(position) = positions.get_mut(&row.key) {
            position.parked = Some(row.version);
            position.sequence = row.sequence.unsigned_abs();
        }
    }
    Ok(positions)
}

/// Reads the position of `key` and locks it.
pub(crate) async fn position(
    tx: &mut PgConnection,
    consumer: &str,
    key: &str,
) -> Result<Position, sqlx::Error> {
    let mut positions = lock(tx, consumer, &[key.to_owned()]).await?;
    Ok(positions.remove(key).unwrap_or_default())
}

/// Starts the chain of a key with `fact`, if retention has removed its earlier facts. No effect on
/// a key of which something is applied or parked.
pub(crate) async fn begin_at(
    tx: &mut PgConnection,
    consumer: &str,
    fact: &Fact,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO events.inbox AS inbox (consumer, key, version, sequence) VALUES ($1, $2, $3, 0)
         ON CONFLICT (consumer, key) DO UPDATE SET version = excluded.version
         WHERE inbox.version = 0 AND NOT inbox.parked",
        consumer,
        fact.key,
        fact.version - 1,
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn columns(marks: &[Mark]) -> (Vec<String>, Vec<i64>, Vec<i64>) {
    store::columns!(
        marks,
        mark => mark.key.clone(),
        mark.version,
        mark.sequence.cast_signed(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(position: Position) -> Vec<Step> {
        (1..=6).map(|version| position.step(version)).collect()
    }

    #[test]
    fn a_new_key_starts_with_its_first_version() {
        use Step::*;
        assert_eq!(
            steps(Position::default()),
            [Apply, Gap(0), Gap(0), Gap(0), Gap(0), Gap(0)]
        );
    }

    #[test]
    fn a_known_key_takes_only_the_next_version() {
        use Step::*;
        let position = Position {
            version: 2,
            ..Position::default()
        };
        assert_eq!(
            steps(position),
            [Repeat, Repeat, Apply, Gap(2), Gap(2), Gap(2)]
        );
    }

    #[test]
    fn a_parked_key_applies_nothing_and_loses_nothing() {
        use Step::*;
        let position = Position {
            version: 1,
            parked: Some(4),
            ..Position::default()
        };
        assert_eq!(steps(position), [Repeat, Park, Park, Park, Park, Gap(4)]);
    }
}
