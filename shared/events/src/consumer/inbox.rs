//! The position of a consumer in each key, and the step for a message that follows from it.

use sqlx::PgConnection;

use crate::envelope::Fact;

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

/// Moves the watermark from the version before `fact` to it; false if it is elsewhere or the key is
/// parked.
///
/// Waits for a transaction that is applying the same key, and then sees its result.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    consumer: &str,
    fact: &Fact,
) -> Result<bool, sqlx::Error> {
    let sequence = fact.sequence.cast_signed();
    let moved = if fact.version == 1 {
        sqlx::query!(
            "INSERT INTO events.inbox AS inbox (consumer, key, version, sequence) VALUES ($1, $2, 1, $3)
             ON CONFLICT (consumer, key) DO UPDATE SET version = 1, sequence = excluded.sequence
             WHERE inbox.version = 0 AND NOT inbox.parked",
            consumer,
            fact.key,
            sequence,
        )
        .execute(tx)
        .await?
    } else {
        sqlx::query!(
            "UPDATE events.inbox SET version = $3::bigint, sequence = $4
             WHERE consumer = $1 AND key = $2 AND version = $3::bigint - 1 AND NOT parked",
            consumer,
            fact.key,
            fact.version,
            sequence,
        )
        .execute(tx)
        .await?
    };
    Ok(moved.rows_affected() == 1)
}

/// Reads the position of `key` and locks it.
pub(crate) async fn position(
    tx: &mut PgConnection,
    consumer: &str,
    key: &str,
) -> Result<Position, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT version, sequence, parked FROM events.inbox
           WHERE consumer = $1 AND key = $2 FOR UPDATE"#,
        consumer,
        key,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(Position::default());
    };
    let mut position = Position {
        version: row.version,
        sequence: row.sequence.unsigned_abs(),
        parked: None,
    };
    if row.parked {
        let last = sqlx::query!(
            "SELECT version, sequence FROM events.parked
             WHERE consumer = $1 AND key = $2 ORDER BY version DESC LIMIT 1",
            consumer,
            key,
        )
        .fetch_one(tx)
        .await?;
        position.parked = Some(last.version);
        position.sequence = last.sequence.unsigned_abs();
    }
    Ok(position)
}

/// Starts the chain of a key with `fact`, if retention has removed its earlier facts. No effect on
/// a known key.
pub(crate) async fn begin_at(
    tx: &mut PgConnection,
    consumer: &str,
    fact: &Fact,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO events.inbox (consumer, key, version, sequence) VALUES ($1, $2, $3, 0)
         ON CONFLICT (consumer, key) DO NOTHING",
        consumer,
        fact.key,
        fact.version - 1,
    )
    .execute(tx)
    .await?;
    Ok(())
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
