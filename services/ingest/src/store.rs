//! The database of imports: one function is one transaction, or part of a consumer's.

use ::store::{InsertError, columns, idempotent};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{self, Import, NewImport, RejectedRow, Settlement},
};

mod append;
mod commit;
mod read;

pub use append::append;
pub use commit::commit;
pub use read::{import, rejected_rows, totals};

/// The position at which an upload resumes.
#[derive(Clone, Debug)]
pub struct Position {
    /// The import.
    pub import_id: Uuid,
    /// Name of the declared source.
    pub source: String,
    /// Bytes of the whole file.
    pub size_bytes: i64,
    /// Bytes whose rows are durable.
    pub received_bytes: i64,
    /// Data rows up to there.
    pub rows_read: i64,
    /// Column names; none before the header is durable.
    pub header: Option<Vec<String>>,
    /// SHA-256 of the whole file, if its caller named it.
    pub sha256: Option<String>,
}

/// A published group of rows.
#[derive(Clone, Debug)]
pub struct PublishedInvoice {
    /// Name of the declared source.
    pub source: String,
    /// As the source numbers it.
    pub invoice_number: String,
}

/// Creates the import, or finds the one that the same request created.
pub async fn create(pool: &PgPool, new: &NewImport) -> Result<Import, Error> {
    let import_id = model::import_id(&new.source, &new.request_id);
    // The name is not compared: the same file under another name is the same file.
    let content = (Some(new.size_bytes), new.sha256.clone());
    let inserted = idempotent(
        &mut *pool.acquire().await?,
        sqlx::query!(
            "INSERT INTO import (import_id, source, request_id, file_name, size_bytes, sha256)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            import_id,
            new.source,
            new.request_id,
            new.file_name,
            new.size_bytes,
            new.sha256
        ),
        sqlx::query!(
            // A digest that either side does not name is not compared.
            "SELECT size_bytes, CASE WHEN sha256 IS NULL OR $2::text IS NULL THEN $2 ELSE sha256 END AS sha256
             FROM import WHERE import_id = $1",
            import_id,
            new.sha256
        )
        .map(|known| (known.size_bytes, known.sha256)),
        &content,
    )
    .await;
    match inserted {
        Ok(_) => import(pool, import_id).await,
        Err(InsertError::Changed) => Err(Error::ImportChanged(new.request_id.clone())),
        Err(InsertError::Database(error)) => Err(error.into()),
    }
}

/// Returns the position at which an upload of the import resumes.
pub async fn position(pool: &PgPool, import_id: Uuid) -> Result<Position, Error> {
    sqlx::query_as!(
        Position,
        r#"SELECT import_id, source, size_bytes AS "size_bytes!", received_bytes, rows_read, header, sha256
           FROM import WHERE import_id = $1 AND size_bytes IS NOT NULL"#,
        import_id
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| Error::UnknownImport(import_id.to_string()))
}

/// Records the ends of published groups; a repeated settlement changes nothing. Returns the groups
/// in the order of the settlements, `None` for one that was not published.
pub async fn settle(
    tx: &mut PgConnection,
    settlements: &[Settlement],
) -> Result<Vec<Option<PublishedInvoice>>, Error> {
    let (imports, rows, outcomes) = columns!(
        settlements,
        settlement => settlement.import_id,
        settlement.first_row_number,
        settlement.outcome.name(),
    );
    sqlx::query!(
        "WITH settled AS (
             UPDATE invoice SET settled_as = new.outcome
             FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS new (import_id, first_row_number, outcome)
             WHERE invoice.import_id = new.import_id AND invoice.first_row_number = new.first_row_number
               AND settled_as IS NULL
             RETURNING invoice.import_id
         )
         INSERT INTO settled_count AS known (import_id, invoices)
         SELECT import_id, count(*) FROM settled GROUP BY import_id ORDER BY import_id
         ON CONFLICT (import_id) DO UPDATE SET invoices = known.invoices + excluded.invoices",
        &imports,
        &rows,
        &outcomes as &[&str]
    )
    .execute(&mut *tx)
    .await?;
    let found = sqlx::query!(
        r#"SELECT source AS "source?", invoice_number AS "invoice_number?"
           FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS new (import_id, first_row_number, place)
           LEFT JOIN invoice USING (import_id, first_row_number) LEFT JOIN import USING (import_id)
           ORDER BY place"#,
        &imports,
        &rows
    )
    .fetch_all(tx)
    .await?;
    let published = found.into_iter().map(|row| {
        Some(PublishedInvoice {
            invoice_number: row.invoice_number?,
            source: row.source?,
        })
    });
    Ok(published.collect())
}

/// Rejects every row of published groups, each with the column and the value that broke the rule.
pub async fn reject_invoices(
    tx: &mut PgConnection,
    refused: &[(&Settlement, &str, &str)],
) -> Result<(), Error> {
    if refused.is_empty() {
        return Ok(());
    }
    let (imports, rows, columns, rules, values) = columns!(
        refused,
        (settlement, column, value) => settlement.import_id,
        settlement.first_row_number,
        *column,
        settlement.outcome.name(),
        *value,
    );
    // No other invoice has an accepted row between the group's first and last: it would have ended
    // the group.
    sqlx::query!(
        "WITH new AS (
             INSERT INTO rejected_row (import_id, row_number, column_name, rule, value)
             SELECT import_id, row_number, column_name, rule, value
             FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
                  AS refused (import_id, first_row_number, column_name, rule, value)
             JOIN invoice USING (import_id, first_row_number) JOIN accepted_row USING (import_id)
             WHERE row_number BETWEEN first_row_number AND last_row_number
             ON CONFLICT DO NOTHING RETURNING import_id, rule
         )
         INSERT INTO rejected_count AS known (import_id, rule, rows)
         SELECT import_id, rule, count(*) FROM new GROUP BY import_id, rule ORDER BY import_id, rule
         ON CONFLICT (import_id, rule) DO UPDATE SET rows = known.rows + excluded.rows",
        &imports,
        &rows,
        &columns as &[&str],
        &rules as &[&str],
        &values as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores rejected rows, each of its import; a row that is rejected already is unchanged.
pub async fn reject(tx: &mut PgConnection, rejected: &[(Uuid, &RejectedRow)]) -> Result<(), Error> {
    if rejected.is_empty() {
        return Ok(());
    }
    let (imports, numbers, columns, rules, values) = columns!(
        rejected,
        (import_id, row) => *import_id,
        row.row_number,
        row.column.as_deref(),
        row.rule.as_str(),
        row.value.as_str(),
    );
    sqlx::query!(
        "WITH new AS (
             INSERT INTO rejected_row (import_id, row_number, column_name, rule, value)
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
             ON CONFLICT DO NOTHING RETURNING import_id, rule
         )
         INSERT INTO rejected_count AS known (import_id, rule, rows)
         SELECT import_id, rule, count(*) FROM new GROUP BY import_id, rule ORDER BY import_id, rule
         ON CONFLICT (import_id, rule) DO UPDATE SET rows = known.rows + excluded.rows",
        &imports,
        &numbers,
        &columns as &[Option<&str>],
        &rules as &[&str],
        &values as &[&str]
    )
    .execute(tx)
    .await?;
    Ok(())
}
