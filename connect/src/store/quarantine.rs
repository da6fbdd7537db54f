//! The records that could not be decoded, mapped or accepted.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgTransaction};

use super::{Store, text};

/// A record on its way into quarantine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) place: String,
    pub(crate) column: String,
    pub(crate) rule: String,
    pub(crate) value: String,
    pub(crate) raw: Vec<u8>,
    /// The decoded record as JSON.
    pub(crate) record: Option<String>,
}

/// A record in quarantine.
#[derive(Clone, Debug)]
pub(crate) struct HeldRow {
    pub(crate) unit: String,
    pub(crate) number: i64,
    pub(crate) place: String,
    pub(crate) column: String,
    pub(crate) rule: String,
    pub(crate) value: String,
    pub(crate) mapping: String,
    pub(crate) raw: Option<Vec<u8>>,
    pub(crate) record: Option<String>,
    pub(crate) held_at: DateTime<Utc>,
    pub(crate) replays: i32,
}

/// The unit and number after which a list continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) unit: String,
    pub(crate) number: i64,
}

/// How a record leaves the quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Resolution {
    Replayed,
    Discarded,
}

::store::text_enum!(Resolution);

// === impl Store ===

impl Store {
    /// Lists records in quarantine after a cursor, without their bytes.
    pub(crate) async fn list_held(
        &self,
        source: &str,
        rule: &str,
        after: &Cursor,
        limit: i64,
    ) -> Result<Vec<HeldRow>, sqlx::Error> {
        sqlx::query_as!(
            HeldRow,
            r#"SELECT unit, number, place, "column", rule, value, mapping, NULL::bytea AS raw, NULL::text AS record,
                      held_at, replays
               FROM quarantine
               WHERE source = $1 AND resolution IS NULL AND (unit, number) > ($2, $3) AND ($4 = '' OR rule = $4)
               ORDER BY unit, number LIMIT $5"#,
            source,
            after.unit,
            after.number,
            rule,
            limit,
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Counts the records of a unit that went into quarantine, by rule.
    pub(crate) async fn rules(
        &self,
        source: &str,
        unit: &str,
    ) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"SELECT rule, count(*) AS "records!" FROM quarantine WHERE source = $1 AND unit = $2 GROUP BY rule"#,
            source,
            unit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.rule, row.records))
            .collect())
    }

    /// Returns one record in quarantine.
    pub(crate) async fn held(
        &self,
        source: &str,
        unit: &str,
        number: i64,
    ) -> Result<Option<HeldRow>, sqlx::Error> {
        sqlx::query_as!(
            HeldRow,
            r#"SELECT unit, number, place, "column", rule, value, mapping, raw, record, held_at, replays
               FROM quarantine WHERE source = $1 AND unit = $2 AND number = $3 AND resolution IS NULL"#,
            source,
            unit,
            number,
        )
        .fetch_optional(&self.pool)
        .await
    }

    /// Locks one record until the transaction ends, so that two replays take turns; `None` if it is
    /// not in quarantine any more.
    pub(crate) async fn lock_held(
        &self,
        source: &str,
        unit: &str,
        number: i64,
    ) -> Result<Option<(PgTransaction<'static>, HeldRow)>, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let row = sqlx::query_as!(
            HeldRow,
            r#"SELECT unit, number, place, "column", rule, value, mapping, raw, record, held_at, replays
               FROM quarantine WHERE source = $1 AND unit = $2 AND number = $3 AND resolution IS NULL FOR UPDATE"#,
            source,
            unit,
            number,
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(row.map(|row| (tx, row)))
    }

    /// Resolves all records in quarantine of a source; returns how many they were.
    pub(crate) async fn discard_all(&self, source: &str, reason: &str) -> Result<u64, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let discarded = sqlx::query!(
            "UPDATE quarantine SET resolution = 'DISCARDED', resolved_at = now(), reason = $2, raw = NULL,
                 record = NULL, value = ''
             WHERE source = $1 AND resolution IS NULL",
            source,
            text(reason),
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        leave(&mut tx, source, discarded.cast_signed(), 0).await?;
        tx.commit().await?;
        Ok(discarded)
    }
}

/// Resolves a locked record: it keeps neither bytes nor values.
pub(crate) async fn resolve(
    mut tx: PgTransaction<'static>,
    source: &str,
    row: &HeldRow,
    resolution: Resolution,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE quarantine SET resolution = $4, resolved_at = now(), reason = $5, raw = NULL, record = NULL,
             value = ''
         WHERE source = $1 AND unit = $2 AND number = $3",
        source,
        row.unit,
        row.number,
        resolution as Resolution,
        text(reason),
    )
    .execute(&mut *tx)
    .await?;
    let accepted = i64::from(resolution == Resolution::Replayed);
    leave(&mut tx, source, 1, accepted).await?;
    tx.commit().await
}

/// Writes the new reason of a locked record, and its correction if it has one.
pub(crate) async fn refuse_again(
    mut tx: PgTransaction<'static>,
    source: &str,
    unit: &str,
    mapping: &str,
    held: &Held,
) -> Result<HeldRow, sqlx::Error> {
    let row = sqlx::query_as!(
        HeldRow,
        r#"UPDATE quarantine SET "column" = $4, rule = $5, value = $6, mapping = $7, record = coalesce($8, record),
               replays = replays + 1
           WHERE source = $1 AND unit = $2 AND number = $3
           RETURNING unit, number, place, "column", rule, value, mapping, raw, record, held_at, replays"#,
        source,
        unit,
        held.number.cast_signed(),
        text(&held.column),
        text(&held.rule),
        text(&held.value),
        mapping,
        held.record.as_deref().map(text),
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(row)
}

/// Puts records into quarantine. One that is there was resolved, and its unit deleted since.
pub(super) async fn insert(
    tx: &mut PgConnection,
    source: &str,
    unit: &str,
    mapping: &str,
    held: &[Held],
) -> Result<(), sqlx::Error> {
    if held.is_empty() {
        return Ok(());
    }
    let (numbers, places, columns, rules, values) = ::store::columns!(held, held =>
        held.number.cast_signed(), text(&held.place), text(&held.column), text(&held.rule), text(&held.value));
    let (raws, records) = ::store::columns!(held, held =>
        held.raw.clone(), held.record.as_deref().map(text));
    sqlx::query!(
        r#"INSERT INTO quarantine (source, unit, mapping, number, place, "column", rule, value, raw, record)
           SELECT $1, $2, $3, * FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                                            $10::text[])
           ON CONFLICT (source, unit, number) DO UPDATE
           SET mapping = excluded.mapping, place = excluded.place, "column" = excluded."column",
               rule = excluded.rule, value = excluded.value, raw = excluded.raw, record = excluded.record,
               held_at = now(), replays = 0, resolution = NULL, resolved_at = NULL, reason = ''"#,
        source,
        unit,
        mapping,
        &numbers,
        &places,
        &columns,
        &rules,
        &values,
        &raws,
        &records as &[Option<String>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts records that leave the quarantine.
async fn leave(
    tx: &mut PgConnection,
    source: &str,
    records: i64,
    accepted: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE source SET held = held - $2, accepted = accepted + $3 WHERE name = $1",
        source,
        records,
        accepted,
    )
    .execute(tx)
    .await?;
    Ok(())
}
