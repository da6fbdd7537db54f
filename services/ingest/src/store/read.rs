//! Reads of imports. Every read is one statement, so that its numbers are consistent.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    error::Error,
    model::{Import, RejectedRow, Totals},
};

/// Returns the import of that id.
pub async fn import(pool: &PgPool, import_id: Uuid) -> Result<Import, Error> {
    let row = sqlx::query!(
        r#"SELECT source, file_name, size_bytes, received_bytes, rows_read, rows_missing, invoices_published,
             coalesce(received_bytes = size_bytes, is_ended) AS "is_ended!",
             coalesce((SELECT invoices FROM settled_count WHERE import_id = $1), 0) AS "settled!",
             coalesce(rules, '{}') AS "rules!", coalesce(counts, '{}') AS "counts!"
           FROM import, LATERAL (
             SELECT array_agg(rule ORDER BY rows DESC, rule) AS rules, array_agg(rows ORDER BY rows DESC, rule) AS counts
             FROM rejected_count WHERE import_id = $1
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
        size_bytes: row.size_bytes.unwrap_or(0),
        received_bytes: row.received_bytes,
        is_ended: row.is_ended,
        invoices_published: row.invoices_published,
        invoices_settled: row.settled,
        totals: rows(row.rows_read, row.rows_missing, row.rules, row.counts),
    })
}

/// Returns totals over all imports of a source.
pub async fn totals(pool: &PgPool, source: &str) -> Result<Totals, Error> {
    let row = sqlx::query!(
        r#"SELECT
             (SELECT coalesce(sum(rows_read), 0)::bigint FROM import WHERE source = $1) AS "rows_read!",
             (SELECT coalesce(sum(rows_missing), 0)::bigint FROM import WHERE source = $1) AS "rows_missing!",
             coalesce(array_agg(rule ORDER BY rows DESC, rule), '{}') AS "rules!",
             coalesce(array_agg(rows ORDER BY rows DESC, rule), '{}') AS "counts!"
           FROM (SELECT rule, sum(rejected_count.rows)::bigint AS rows FROM rejected_count JOIN import USING (import_id)
                 WHERE source = $1 GROUP BY rule) AS by_rule"#,
        source
    )
    .fetch_one(pool)
    .await?;
    Ok(rows(row.rows_read, row.rows_missing, row.rules, row.counts))
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

fn rows(rows_read: i64, rows_missing: i64, rules: Vec<String>, counts: Vec<i64>) -> Totals {
    Totals {
        rows_read,
        rows_missing,
        rejected: rules.into_iter().zip(counts).collect(),
    }
}
