//! Reads of imports. Every read is one statement, so that its numbers are consistent.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    error::Error,
    model::{self, Rejection, State},
};

/// One import as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Made from source and `request_id`.
    pub import_id: Uuid,
    /// Name of the declared source.
    pub source: String,
    /// Free text.
    pub file_name: String,
    /// Bytes of the whole file.
    pub size_bytes: i64,
    /// Bytes whose rows are durable.
    pub received_bytes: i64,
    /// Groups of rows that were published.
    pub invoices_published: i64,
    /// Published groups whose end is known.
    pub invoices_settled: i64,
    /// Its rows.
    pub totals: Totals,
}

/// Rows read, and those of them that were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Data rows.
    pub rows_read: i64,
    /// Rows by rule, most frequent first.
    pub rejected: Vec<(String, i64)>,
}

/// A row that was refused, by whichever service.
#[derive(Clone, Debug)]
pub struct RejectedRow {
    /// 1-based; the header is not counted.
    pub row_number: i64,
    /// As the header names it; empty if the whole row is meant.
    pub column: String,
    /// Name of the rule.
    pub rule: String,
    /// The value that broke it.
    pub value: String,
}

/// Returns the import of that id.
pub async fn import(pool: &PgPool, import_id: Uuid) -> Result<Import, Error> {
    let row = sqlx::query!(
        r#"SELECT source, file_name, size_bytes, received_bytes, rows_read,
             (SELECT count(*) FROM invoice WHERE import_id = $1) AS "published!",
             (SELECT count(settled_as) FROM invoice WHERE import_id = $1) AS "settled!",
             coalesce(rules, '{}') AS "rules!", coalesce(counts, '{}') AS "counts!"
           FROM import, LATERAL (
             SELECT array_agg(rule ORDER BY count DESC, rule) AS rules, array_agg(count ORDER BY count DESC, rule) AS counts
             FROM (SELECT rule, count(*) AS count FROM rejected_row WHERE import_id = $1 GROUP BY rule) AS by_rule
           ) AS rejected
           WHERE import_id = $1"#,
        import_id
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| Error::UnknownImport(import_id.to_string()))?;
    Ok(Import {
        import_id,
        source: row.source,
        file_name: row.file_name,
        size_bytes: row.size_bytes,
        received_bytes: row.received_bytes,
        invoices_published: row.published,
        invoices_settled: row.settled,
        totals: Totals::of(row.rows_read, row.rules, row.counts),
    })
}

/// Returns totals over all imports of a source.
pub async fn totals(pool: &PgPool, source: &str) -> Result<Totals, Error> {
    let row = sqlx::query!(
        r#"SELECT
             (SELECT coalesce(sum(rows_read), 0)::bigint FROM import WHERE source = $1) AS "rows_read!",
             coalesce(array_agg(rule ORDER BY count DESC, rule), '{}') AS "rules!",
             coalesce(array_agg(count ORDER BY count DESC, rule), '{}') AS "counts!"
           FROM (SELECT rule, count(*) AS count FROM rejected_row JOIN import USING (import_id)
                 WHERE source = $1 GROUP BY rule) AS by_rule"#,
        source
    )
    .fetch_one(pool)
    .await?;
    Ok(Totals::of(row.rows_read, row.rules, row.counts))
}

/// Returns up to `limit` refused rows that come after row `after`, in order.
pub async fn rejected_rows(
    pool: &PgPool,
    import_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<RejectedRow>, Error> {
    let rows = sqlx::query_as!(
        RejectedRow,
        r#"SELECT row_number, column_name AS "column", rule, value FROM rejected_row
           WHERE import_id = $1 AND row_number > $2 ORDER BY row_number LIMIT $3"#,
        import_id,
        after,
        limit
    )
    .fetch_all(pool)
    .await?;
    if rows.is_empty() {
        import(pool, import_id).await?;
    }
    Ok(rows)
}

// === impl Import ===

impl Import {
    /// Where it stands.
    pub fn state(&self) -> State {
        model::state(
            self.size_bytes,
            self.received_bytes,
            self.invoices_published,
            self.invoices_settled,
        )
    }
}

// === impl Totals ===

impl Totals {
    /// Returns the rows read and not rejected so far.
    pub fn rows_accepted(&self) -> i64 {
        self.rows_read - self.rejected.iter().map(|(_, rows)| rows).sum::<i64>()
    }

    fn of(rows_read: i64, rules: Vec<String>, counts: Vec<i64>) -> Self {
        Self {
            rows_read,
            rejected: rules.into_iter().zip(counts).collect(),
        }
    }
}

// === impl RejectedRow ===

impl From<&Rejection> for RejectedRow {
    fn from(rejection: &Rejection) -> Self {
        Self {
            row_number: rejection.row_number,
            column: rejection.column.clone(),
            rule: rejection.rule.name().to_owned(),
            value: rejection.value.clone(),
        }
    }
}
