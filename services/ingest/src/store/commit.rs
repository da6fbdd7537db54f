//! One batch, one transaction: rows, rejections, facts, and the durable length of the file.

use std::collections::HashSet;

use ::store::columns;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Position, reject};
use crate::{
    convert,
    error::Error,
    model::{Batch, Hash, Head, Intake, Invoice, Kind, Line, Mapping, RejectedRow, Row, returns},
};

/// Key of the advisory lock that serialises commits of batches: two files may hold the same row,
/// and facts of one account.
const BATCH_LOCK: i64 = 0x696e_6765_7374;

/// Commits the pending rows of closed invoices, or all of them if the file ends here.
///
/// Accepted and rejected rows, the facts and `received_bytes` change together or not at all; a
/// superseded upload changes nothing. Advances `position` and returns whether it moved.
pub async fn commit(
    pool: &PgPool,
    position: &mut Position,
    intake: &mut Intake,
    at_end: bool,
) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", BATCH_LOCK)
        .execute(&mut *tx)
        .await?;
    let closed_invoice = check(&mut tx, position).await?;
    let known = known(&mut tx, &position.source, &intake.pending().hashes()).await?;
    let mut batch = intake.pending().cut(
        &known,
        closed_invoice,
        at_end.then_some(position.size_bytes),
    );
    if batch.offset == position.received_bytes {
        return Ok(false);
    }
    insert_rows(&mut tx, position, &batch).await?;
    let sales = std::mem::take(&mut batch.sales);
    publish_sales(&mut tx, intake.mapping(), position.import_id, sales).await?;
    if at_end {
        publish_returns(&mut tx, intake.mapping(), position.import_id).await?;
    }
    move_on(&mut tx, position, &batch, intake.header()).await?;
    chassis::crash::point("ingest.upload.before_commit");
    tx.commit().await?;
    chassis::crash::point("ingest.upload.after_commit");
    (position.received_bytes, position.rows_read) = (batch.offset, batch.rows_read);
    Ok(true)
}

/// Returns those of the hashes that belong to accepted rows of the source.
async fn known(
    tx: &mut PgConnection,
    source: &str,
    hashes: &[&Hash],
) -> Result<HashSet<Hash>, Error> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| hash.as_slice()).collect();
    let known = sqlx::query_scalar!(
        "SELECT hash FROM accepted_row WHERE source = $1 AND hash = ANY($2)",
        source,
        &hashes as &[&[u8]]
    )
    .fetch_all(tx)
    .await?;
    Ok(known
        .into_iter()
        .filter_map(|hash| hash.try_into().ok())
        .collect())
}

/// Locks the import; an error if another upload has advanced it. Returns its closed invoice.
async fn check(tx: &mut PgConnection, position: &Position) -> Result<Option<String>, Error> {
    let import = sqlx::query!(
        "SELECT received_bytes, closed_invoice FROM import WHERE import_id = $1 FOR NO KEY UPDATE",
        position.import_id
    )
    .fetch_one(tx)
    .await?;
    if import.received_bytes == position.received_bytes {
        Ok(import.closed_invoice)
    } else {
        Err(Error::UploadSuperseded)
    }
}

async fn move_on(
    tx: &mut PgConnection,
    position: &Position,
    batch: &Batch,
    header: &[String],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE import SET received_bytes = $2, rows_read = $3, closed_invoice = $4, header = $5 WHERE import_id = $1",
        position.import_id,
        batch.offset,
        batch.rows_read,
        batch.closed_invoice,
        header
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_rows(
    tx: &mut PgConnection,
    position: &Position,
    batch: &Batch,
) -> Result<(), Error> {
    let (numbers, hashes) = columns!(batch.accepted, (number, hash) => *number, hash.as_slice());
    sqlx::query!(
        "INSERT INTO accepted_row (import_id, source, row_number, hash)
         SELECT $1, $2, row_number, hash FROM unnest($3::bigint[], $4::bytea[]) AS row (row_number, hash)",
        position.import_id,
        position.source,
        &numbers,
        &hashes as &[&[u8]]
    )
    .execute(&mut *tx)
    .await?;
    let rejected: Vec<_> = batch.rejected.iter().map(RejectedRow::from).collect();
    reject(tx, position.import_id, &rejected).await?;
    for row in &batch.returns {
        insert_return(tx, position.import_id, row).await?;
    }
    Ok(())
}

async fn insert_return(tx: &mut PgConnection, import_id: Uuid, row: &Row) -> Result<(), Error> {
    let (head, line) = (&row.head, &row.line);
    sqlx::query!(
        "INSERT INTO return_row (import_id, row_number, account_id, guest, invoice_number, returned_at,
                                 sku, description, quantity, unit_price_minor, charge)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        import_id,
        line.row_number,
        head.account_id,
        head.guest,
        head.invoice_number,
        head.time,
        line.sku,
        line.description,
        line.quantity,
        line.unit_price_minor,
        line.charge
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn publish_sales(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
    sales: Vec<Invoice>,
) -> Result<(), Error> {
    insert_invoices(tx, import_id, &sales).await?;
    let sales = sales.into_iter();
    let facts: Vec<_> = sales
        .map(|sale| convert::sale(mapping, import_id, sale))
        .collect();
    events::publish_all(tx, &facts).await?;
    Ok(())
}

/// Publishes all waiting returns of the import, page by page.
async fn publish_returns(
    tx: &mut PgConnection,
    mapping: &Mapping,
    import_id: Uuid,
) -> Result<(), Error> {
    loop {
        let invoices = returns::group(waiting_returns(tx, import_id).await?);
        if invoices.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i64> = invoices
            .iter()
            .flat_map(|invoice| &invoice.lines)
            .map(|line| line.row_number)
            .collect();
        insert_invoices(tx, import_id, &invoices).await?;
        let invoices = invoices.into_iter();
        let facts: Vec<_> = invoices
            .map(|invoice| convert::returned(mapping, import_id, invoice))
            .collect();
        events::publish_all(tx, &facts).await?;
        sqlx::query!(
            "DELETE FROM return_row WHERE import_id = $1 AND row_number = ANY($2)",
            import_id,
            &numbers
        )
        .execute(&mut *tx)
        .await?;
    }
}

async fn waiting_returns(
    tx: &mut PgConnection,
    import_id: Uuid,
) -> Result<Vec<(Head, Line)>, Error> {
    let rows = sqlx::query!(
        "SELECT row_number, account_id, guest, invoice_number, returned_at, sku, description, quantity,
                unit_price_minor, charge
         FROM return_row WHERE import_id = $1
         ORDER BY account_id, returned_at, invoice_number, row_number LIMIT $2",
        import_id,
        returns::PAGE_ROWS as i64
    )
    .fetch_all(tx)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let head = Head {
            kind: Kind::Return,
            invoice_number: row.invoice_number,
            account_id: row.account_id,
            guest: row.guest,
            time: row.returned_at,
        };
        let line = Line {
            row_number: row.row_number,
            sku: row.sku,
            description: row.description,
            quantity: row.quantity,
            unit_price_minor: row.unit_price_minor,
            charge: row.charge,
        };
        (head, line)
    });
    Ok(rows.collect())
}

async fn insert_invoices(
    tx: &mut PgConnection,
    import_id: Uuid,
    invoices: &[Invoice],
) -> Result<(), Error> {
    let (first, last, numbers) = columns!(
        invoices,
        invoice => invoice.rows().0,
        invoice.rows().1,
        invoice.head.invoice_number.clone(),
    );
    sqlx::query!(
        "INSERT INTO invoice (import_id, first_row_number, last_row_number, invoice_number)
         SELECT $1, first, last, number
         FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS invoice (first, last, number)",
        import_id,
        &first,
        &last,
        &numbers
    )
    .execute(tx)
    .await?;
    Ok(())
}
