//! The database of imports: one function is one transaction, or part of a consumer's.

use ::store::{InsertError, columns, idempotent};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{self, Import, NewImport, RejectedRow, Settlement},
};

mod commit;
mod read;

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
    let inserted = idempotent(
        &mut *pool.acquire().await?,
        sqlx::query!(
            "INSERT INTO import (import_id, source, request_id, file_name, size_bytes) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            import_id,
            new.source,
            new.request_id,
            new.file_name,
            new.size_bytes
        ),
        sqlx::query!("SELECT size_bytes FROM import WHERE import_id = $1", import_id)
            .map(|known| known.size_bytes),
        &new.size_bytes,
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
        "SELECT import_id, source, size_bytes, received_bytes, rows_read, header FROM import WHERE import_id = $1",
        import_id
    )
    .fetch_optional(pool)
    .await?
    .ok_or_else(|| Error::UnknownImport(import_id.to_string()))
}

/// Records the end of a published group; a repeated settlement changes nothing. Returns `None` if
/// no such group was published.
pub async fn settle(
    tx: &mut PgConnection,
    settlement: &Settlement,
) -> Result<Option<PublishedInvoice>, Error> {
    Ok(sqlx::query_as!(
        PublishedInvoice,
        "UPDATE invoice SET settled_as = $3 FROM import
         WHERE invoice.import_id = $1 AND first_row_number = $2 AND import.import_id = invoice.import_id
         RETURNING import.source, invoice_number",
        settlement.import_id,
        settlement.first_row_number,
        settlement.outcome.name()
    )
    .fetch_optional(tx)
    .await?)
}

/// Rejects every row of a published group.
pub async fn reject_invoice(
    tx: &mut PgConnection,
    settlement: &Settlement,
    column: &str,
    value: &str,
) -> Result<(), Error> {
    // No other invoice has an accepted row between the group's first and last: it would have ended
    // the group.
    sqlx::query!(
        "INSERT INTO rejected_row (import_id, row_number, column_name, rule, value)
         SELECT import_id, row_number, $3, $4, $5 FROM invoice JOIN accepted_row USING (import_id)
         WHERE import_id = $1 AND first_row_number = $2 AND row_number BETWEEN first_row_number AND last_row_number
         ON CONFLICT DO NOTHING",
        settlement.import_id,
        settlement.first_row_number,
        column,
        settlement.outcome.name(),
        value
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores rejected rows; a row that is rejected already is unchanged.
pub async fn reject(
    tx: &mut PgConnection,
    import_id: Uuid,
    rows: &[RejectedRow],
) -> Result<(), Error> {
    let (numbers, columns, rules, values) = columns!(
        rows,
        row => row.row_number,
        row.column.clone(),
        row.rule.clone(),
        row.value.clone(),
    );
    sqlx::query!(
        "INSERT INTO rejected_row (import_id, row_number, column_name, rule, value)
         SELECT $1, row_number, column_name, rule, value
         FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS row (row_number, column_name, rule, value)
         ON CONFLICT DO NOTHING",
        import_id,
        &numbers,
        &columns as &[Option<String>],
        &rules,
        &values
    )
    .execute(tx)
    .await?;
    Ok(())
}
